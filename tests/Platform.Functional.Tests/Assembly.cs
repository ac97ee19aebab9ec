// Two cores, one Docker engine: tests beside each other would measure each other.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
