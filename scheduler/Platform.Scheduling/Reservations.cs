using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What a resident app's launches do about its reservations (contract 5.11): take up what is idle first, reserve anew only what is missing.</summary>
internal static class Reservations
{
    /// <summary>Those that nobody is to have any more and that no task uses.</summary>
    public static EquatableArray<SchedulerEvent> Released(AppState app, DateTimeOffset now) => app.Reservations.IsEmpty ? default : app.Reservations
        .Where(r => r.Value is { IsIdle: true, Condemned: true })
        .Select(SchedulerEvent (r) => new SchedulerEvent.ReservationReleased(r.Key, app.Definition.Id) { At = now })
        .ToEquatableArray();

    /// <summary>The reservations of one plan. Without any, and for apps that are not resident, it is as if it were not there.</summary>
    public sealed class Claims(AppState app)
    {
        private readonly Queue<(InstanceId First, Reservation Reservation)> _idle = new(app.Reservations
            .Where(r => r.Value is { IsIdle: true, Condemned: false })
            .OrderByDescending(r => r.Value.IdleSinceRevision).ThenBy(r => r.Key)
            .Select(r => (r.Key, r.Value)));

        private readonly List<NoFit> _noFits = [];
        private int _kept = app.Reservations.Values.Count(r => !r.Condemned);

        /// <summary>Why reservations that are idle could not be taken up.</summary>
        public IReadOnlyList<NoFit> NoFits => _noFits;

        /// <summary>An instance whose volume cannot be reached now is waited for, and not replaced by an empty one.</summary>
        public bool MayReserve => !app.Definition.IsResident || _kept < app.Definition.Instances;

        /// <summary>The next idle reservation whose node takes its instance back; null if there is none.</summary>
        public (InstanceId Id, Placement.Outcome Outcome)? Take(AppDefinition definition, IReadOnlyList<Offer> offers, ref int tried)
        {
            while (_idle.TryDequeue(out var next))
            {
                tried++;
                var outcome = Placement.PlaceOn(definition, next.Reservation, offers);
                if (outcome is Placement.Outcome.Placed) return (next.First.Next(next.Reservation.Incarnation + 1), outcome);
                _noFits.AddRange(((Placement.Outcome.Refused)outcome).NoFits);
            }
            return null;
        }

        public SchedulerEvent Reserve(string clusterId, InstanceId id, long serial, NodeId node, DateTimeOffset now)
        {
            _kept++;
            var volumes = app.Definition.PersistentVolumes
                .Select(v => new LocalVolume(v.ContainerPath, InstanceId.Derive($"{clusterId}/volumes/{v.ContainerPath}", app.Definition.Id, serial).Uuid, v.SizeMib));
            return new SchedulerEvent.InstanceReserved(id, app.Definition.Id, node, app.Definition.Footprint, volumes.ToEquatableArray()) { At = now };
        }
    }
}
