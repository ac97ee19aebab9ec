namespace Platform.Discovery.Hosting;

/// <summary>Who waits for which key or prefix. A change wakes those whose text the changed key is, or begins with, and nobody else.</summary>
internal sealed class KvWatches
{
    private readonly Lock _changing = new();
    private readonly Dictionary<string, Node> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Node> _prefixes = new(StringComparer.Ordinal);
    private bool _ended;

    /// <summary>All that wait for one text share it.</summary>
    private sealed class Node
    {
        public TaskCompletionSource Changed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public int Watchers { get; set; }
    }

    internal readonly struct Handle : IDisposable
    {
        private readonly KvWatches _owner;
        private readonly Dictionary<string, Node> _nodes;
        private readonly string _text;
        private readonly Node _node;

        internal Handle(KvWatches owner, string text, bool prefix)
        {
            _owner = owner;
            _text = text;
            _nodes = prefix ? owner._prefixes : owner._keys;
            lock (owner._changing)
            {
                Ended = owner._ended;
                if (!_nodes.TryGetValue(text, out var node)) _nodes[text] = node = new Node();
                node.Watchers++;
                _node = node;
            }
        }

        public bool Ended { get; }
        public Task Changed => _node.Changed.Task;

        private Dictionary<string, Node> Nodes => _nodes;

        public void Dispose()
        {
            lock (_owner._changing)
                if (--_node.Watchers == 0 && Nodes.TryGetValue(_text, out var current) && ReferenceEquals(current, _node)) Nodes.Remove(_text);
        }
    }

    public Handle Watch(string text, bool prefix) => new(this, text, prefix);

    public void Wake(IReadOnlyCollection<string> changed)
    {
        var woken = new List<Node>();
        lock (_changing)
        {
            if (_keys.Count == 0 && _prefixes.Count == 0) return;
            var prefixes = _prefixes.GetAlternateLookup<ReadOnlySpan<char>>();
            foreach (var key in changed)
            {
                if (_keys.Remove(key, out var exact)) woken.Add(exact);
                for (var length = 0; length <= key.Length && _prefixes.Count > 0; length++)
                    if (prefixes.Remove(key.AsSpan(0, length), out _, out var node)) woken.Add(node);
            }
        }
        foreach (var node in woken) node.Changed.TrySetResult();
    }

    /// <param name="forGood">The view ends: whoever comes now need not wait.</param>
    public void WakeAll(bool forGood = false)
    {
        Node[] woken;
        lock (_changing)
        {
            _ended |= forGood;
            woken = [.. _keys.Values, .. _prefixes.Values];
            _keys.Clear();
            _prefixes.Clear();
        }
        foreach (var node in woken) node.Changed.TrySetResult();
    }
}
