using Platform.Model;

namespace Platform.Scheduling;

public enum PlacementRule { Role, Runtime, Constraint, Cpus, Mem, Disk, Ports, Maintenance }

/// <summary>One rule applied to one node. The numbers are there where the rule has any: cores, MiB, ports.</summary>
/// <param name="Detail">The refusal's words; null when the rule is kept.</param>
public sealed record RuleVerdict(PlacementRule Rule, string? Subject, bool Passes, double? Asked, double? Free, double? Total, string? Detail);

public sealed record NodeVerdict(NodeId Node, EquatableArray<RuleVerdict> Rules);

/// <summary>A change that was tried on the real placement, and placed an instance there.</summary>
public abstract record Remedy(string Text)
{
    /// <summary>Change the app: only what is named differs from its definition.</summary>
    public sealed record ChangeApp(string Text, NodeId Node, AppDefinition App) : Remedy(Text);

    /// <summary>Another node, of at least this size and with these attributes.</summary>
    public sealed record AddNode(string Text, NodeDescription Node) : Remedy(Text);
}

/// <summary>Why instances of an app wait: every node by every rule, and the nearest changes that would place one more. Nothing waits: it is empty.</summary>
public sealed record PlacementExplanation(
    AppId App, int Waiting, DateTimeOffset? DelayedUntil, EquatableArray<NodeVerdict> Nodes, EquatableArray<Remedy> Remedies, string? Hint);

/// <summary>
/// Explanations come from the code that places: each is a question to <see cref="Planner"/>, <see cref="Placement"/> and <see cref="Constraints"/>.
/// </summary>
public static class PlacementExplanations
{
    public static PlacementExplanation Of(ClusterState state, AppId id, DateTimeOffset now)
    {
        var app = state.Apps[id];
        if (Planner.Plan(state, id, now).Waiting is not { } waiting) return new PlacementExplanation(id, 0, null, default, default, null);
        var beside = Planner.Beside(state, app);
        var offers = Planner.Offers(state);
        var nodes = offers.Select(o => new NodeVerdict(o.Node.Id, Placement.Judge(app.Definition, o, beside).ToEquatableArray())).ToEquatableArray();
        var delayed = waiting.DelayedUntil is not null;
        return new PlacementExplanation(
            id, waiting.Waiting, waiting.DelayedUntil, nodes,
            delayed ? default : Remedies(state, app).ToEquatableArray(), delayed ? null : StrategyHint(state, app));
    }

    /// <summary>
    /// Whether the app's own upgrade strategy is what stops it: without the old instances, which it may not stop first, the next would be placed.
    /// </summary>
    public static string? StrategyHint(ClusterState state, AppState app)
    {
        var old = app.Instances.Values.Where(i => !i.IsStopping && !app.IsCurrent(i)).ToList();
        if (old.Count == 0 || app.Definition.Instances == 0) return null;
        var without = app.Instances.Values.Where(i => !i.IsStopping && app.IsCurrent(i)).Select(i => state.Nodes[i.Node].Description);
        var offers = Planner.Reachable(state).Select(n => new Offer(Emptied(n, old.Where(i => i.Node == n.Description.Id)))).ToList();
        if (Placement.Place(app.Definition, Probe(state, app), offers, new ComparisonGroup(without)) is Placement.Outcome.Refused) return null;
        var enough = Math.Floor(100.0 * (app.Definition.Instances - 1) / app.Definition.Instances) / 100;
        return FormattableString.Invariant($"upgradeStrategy.minimumHealthCapacity below 1 (at most {enough:0.##} for {app.Definition.Instances} instances): ")
            + "the old instances hold the only places, and may not be stopped before new ones are healthy";
    }

    private static IEnumerable<Remedy> Remedies(ClusterState state, AppState app)
    {
        var nearest = Planner.Offers(state).Select(o => ChangeFor(state, app, o)).OfType<(double Distance, Remedy Remedy)>()
            .OrderBy(c => c.Distance).Select(c => c.Remedy).FirstOrDefault();
        if (nearest is not null) yield return nearest;
        if (NewNode(state, app) is { } node) yield return node;
    }

    /// <summary>The least that must change for this node to take one: constraints dropped, resources cut to what is free, fixed ports given up.</summary>
    private static (double Distance, Remedy Remedy)? ChangeFor(ClusterState state, AppState app, Offer offer)
    {
        var asked = app.Definition;
        var beside = Planner.Beside(state, app);
        var broken = asked.Constraints.Where(c => Constraints.Refusal(c, offer.Node, beside) is not null).ToList();
        var (need, free) = (asked.Resources, offer.Free);
        var cut = new Resources(Math.Min(need.Cpus, free.Cpus), Math.Min(need.MemMib, free.MemMib), Math.Min(need.DiskMib, free.DiskMib));
        var changed = asked with { Constraints = asked.Constraints.Where(c => !broken.Contains(c)).ToEquatableArray(), Resources = cut };
        var portsTaken = offer.DrawPorts(asked.Ports).Refusal is not null;
        if (portsTaken) changed = WithAnyPorts(changed);
        if (Placement.Place(changed, Probe(state, app), [offer], beside) is not Placement.Outcome.Placed) return null;

        var words = broken.Select(c => $"drop constraint {Constraints.Text(c)}").ToList();
        Cut("cpus", need.Cpus, cut.Cpus);
        Cut("mem", need.MemMib, cut.MemMib);
        Cut("disk", need.DiskMib, cut.DiskMib);
        if (portsTaken) words.Add("let the platform choose the host ports (hostPort 0, requirePorts false)");
        var distance = words.Count + Loss(need.Cpus, cut.Cpus) + Loss(need.MemMib, cut.MemMib) + Loss(need.DiskMib, cut.DiskMib);
        return (distance, new Remedy.ChangeApp($"{string.Join(" and ", words)} on node {offer.Node.Id}", offer.Node.Id, changed));

        void Cut(string what, double from, double to)
        {
            if (to < from) words.Add(FormattableString.Invariant($"{what} {to:0.######} instead of {from:0.######}"));
        }
    }

    private static double Loss(double from, double to) => from <= 0 ? 0 : (from - to) / from;

    private static AppDefinition WithAnyPorts(AppDefinition app) => app with
    {
        RequirePorts = false,
        Container = app.Container is { } container
            ? container with { PortMappings = container.PortMappings.Select(p => p.HostPort > 0 ? p with { HostPort = 0 } : p).ToEquatableArray() }
            : null,
    };

    /// <summary>A node just large enough, whose attributes are what the constraints ask for, as far as a constraint names a value.</summary>
    private static Remedy.AddNode? NewNode(ClusterState state, AppState app)
    {
        var definition = app.Definition;
        var name = "another";
        var attributes = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var constraint in definition.Constraints)
        {
            var names = constraint.Operator is ConstraintOperator.Is or ConstraintOperator.Cluster or ConstraintOperator.Like;
            var value = names && constraint.Value is { Length: > 0 } named ? named : "another";
            if (constraint.Field is "hostname" or "@hostname") name = value == "another" ? name : value;
            else attributes[constraint.Field is "@zone" or "@region" ? constraint.Field[1..] : constraint.Field] = value;
        }
        if (!NodeId.TryParse(name, out var id, out _) || state.Nodes.ContainsKey(id)) return null;
        var fixedPorts = definition.Ports.Where(p => p.HostPort > 0).Select(p => p.HostPort!.Value).ToList();
        var node = new NodeDescription
        {
            Id = id, Address = "192.0.2.1", Total = definition.Resources, TaskPortMin = 31000, TaskPortMax = 32000,
            Attributes = EquatableMap.From(attributes), Runtimes = [Placement.Runtime(definition)],
        };
        var offer = new Offer(new Node { Description = node, NextPort = node.TaskPortMin });
        if (Placement.Place(definition, Probe(state, app), [offer], Planner.Beside(state, app)) is not Placement.Outcome.Placed) return null;
        var (cpus, mem, disk) = definition.Resources;
        var text = FormattableString.Invariant($"add a node with {cpus:0.######} cpus, {mem:0.######} MiB of memory and {disk:0.######} MiB of disk free");
        if (name != "another") text += $", named {name}";
        foreach (var (key, value) in attributes) text += value == "another" ? $", with another {key}" : $", with {key} {value}";
        if (fixedPorts.Count > 0) text += $", where host port {string.Join(", ", fixedPorts)} is free";
        return new Remedy.AddNode(text, node);
    }

    private static Node Emptied(Node node, IEnumerable<Instance> leaving) => leaving.Aggregate(node, (n, i) => n with
    {
        Used = n.Used - i.Resources,
        UsedPorts = n.UsedPorts.Except(i.HostPorts.Where(p => p > 0)),
    });

    private static InstanceId Probe(ClusterState state, AppState app) => InstanceId.Derive(state.ClusterId, app.Definition.Id, state.NextSerial);
}
