using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Link;

/// <summary>
/// The scheduler's own endpoint table, kept by what the log says: what the nodes are sent, what the REST door lets clients watch, and the
/// measure that nodes' views are held to.
/// </summary>
public sealed class PublishedEndpoints
{
    public PublishedEndpoints(SchedulerLoop loop, TimeProvider time)
    {
        Feed = new EndpointFeed(new EndpointTable());
        Propagation = new Propagation(time);
        Feed.Apply(Projections.Complete(loop.Current.State));
        loop.Published += OnPublished;
    }

    public EndpointFeed Feed { get; }
    public Propagation Propagation { get; }

    private void OnPublished(Step step)
    {
        if (step.EndpointChanges.IsEmpty) return;
        Propagation.Published(step.After.Revision); // before the nodes can hear of it
        Feed.Apply(new EndpointUpdate(step.After.ClusterId, Feed.Current.Revision, step.After.Revision, false, new EquatableArray<EndpointChange>(step.EndpointChanges)));
    }
}
