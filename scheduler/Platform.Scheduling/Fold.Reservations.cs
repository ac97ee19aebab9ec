using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>How reservations come, are used and go (contract 5.11).</summary>
public sealed partial record ClusterState
{
    private ClusterState Reserve(SchedulerEvent.InstanceReserved x)
    {
        var reservation = new Reservation { Node = x.Node, Resources = x.Resources, Volumes = x.Volumes, IsIdle = true };
        return WithApp(x.App, a => a with { Reservations = a.Reservations.SetItem(x.Instance.First, reservation) })
            with { Nodes = Nodes.TryGetValue(x.Node, out var node) ? Nodes.SetItem(x.Node, node with { Used = node.Used + x.Resources }) : Nodes };
    }

    private ClusterState Release(SchedulerEvent.ReservationReleased x)
    {
        if (!Apps.TryGetValue(x.App, out var app) || app.ReservationOf(x.Instance) is not { } reservation) return this;
        var released = this with { Apps = Apps.SetItem(x.App, app with { Reservations = app.Reservations.Remove(x.Instance.First) }) };
        if (!Nodes.TryGetValue(reservation.Node, out var node)) return released;
        var disk = new Resources(0, 0, reservation.Volumes.Sum(v => v.SizeMib));
        return released with
        {
            Nodes = Nodes.SetItem(reservation.Node, node with
            {
                Used = node.Used - reservation.Resources + disk,
                Wiping = node.Wiping.SetItems(reservation.Volumes.Select(v => KeyValuePair.Create(v.Uuid, v.SizeMib))),
            }),
        };
    }

    private ClusterState Wiped(SchedulerEvent.VolumesWiped x)
    {
        if (!Nodes.TryGetValue(x.Node, out var node)) return this;
        var disk = x.Volumes.Sum(v => node.Wiping.GetValueOrDefault(v));
        return this with { Nodes = Nodes.SetItem(x.Node, node with { Used = node.Used - new Resources(0, 0, disk), Wiping = node.Wiping.RemoveRange(x.Volumes) }) };
    }

    private static AppState TakeUp(AppState app, InstanceId task) => app.ReservationOf(task) is { } reservation
        ? app with { Reservations = app.Reservations.SetItem(task.First, reservation with { Incarnation = task.Incarnation, IsIdle = false }) }
        : app;

    private AppState PutDown(AppState app, InstanceId task) => app.ReservationOf(task) is { } reservation
        ? app with { Reservations = app.Reservations.SetItem(task.First, reservation with { IsIdle = true, IdleSinceRevision = Revision + 1 }) }
        : app;

    /// <summary>What a stop brings with it beyond the instance's own end.</summary>
    private ClusterState AfterStop(SchedulerEvent.InstanceStopRequested x)
    {
        if (Instance(x.Instance) is not { } instance) return this;
        if (x.Reason == StopReason.NotLaunched) return WithApp(instance.App, a => AfterNoLaunch(a, instance, x.At));
        return x.Wipe == true ? WithApp(instance.App, a => Condemn(a, x.Instance)) : this;
    }

    private static AppState Condemn(AppState app, InstanceId task) => app.ReservationOf(task) is { } reservation
        ? app with { Reservations = app.Reservations.SetItem(task.First, reservation with { Condemned = true }) }
        : app;

    private static ImmutableSortedDictionary<InstanceId, Reservation> CondemnAll(ImmutableSortedDictionary<InstanceId, Reservation> reservations) =>
        reservations.IsEmpty ? reservations : reservations.SetItems(reservations.Select(r => KeyValuePair.Create(r.Key, r.Value with { Condemned = true })));

    /// <summary>It was not running in time: a failure like one of its own, so that the next launch waits (contract 5.7, 5.9).</summary>
    private static AppState AfterNoLaunch(AppState app, Instance instance, DateTimeOffset at)
    {
        var message = $"Task was not running in time after its launch at {instance.StagedAt:yyyy-MM-ddTHH:mm:ss.fff}Z, and is killed";
        app = app with { LastFailure = new TaskFailure(instance.Id, instance.Node, TerminalState.Failed, message, instance.Version, at) };
        return app.IsCurrent(instance) ? app with { Delay = LaunchDelays.AfterFailure(app.Delay, app.Definition.Backoff, at) } : app;
    }
}
