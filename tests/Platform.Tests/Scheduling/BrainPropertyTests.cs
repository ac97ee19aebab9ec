using System.Text;
using CsCheck;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Whatever is asked and whatever happens, these hold after every look.</summary>
public sealed class BrainPropertyTests
{
    private abstract record Act
    {
        public sealed record Deploy(int App, int Instances, int Shape) : Act;
        public sealed record Scale(int App, int Instances) : Act;
        public sealed record Remove(int App) : Act;
        public sealed record Kill(int Which) : Act;
        public sealed record Crash(int Which) : Act;
        public sealed record Link(int Node) : Act;
        public sealed record Wait(int Seconds) : Act;
        public sealed record Refused(int App) : Act;
        public sealed record Restart : Act;
    }

    private static readonly Gen<Act> AnyAct = Gen.Frequency(
        (4, Gen.Select(Gen.Int[0, 3], Gen.Int[0, 6], Gen.Int[0, 5], Act (a, n, s) => new Act.Deploy(a, n, s))),
        (3, Gen.Select(Gen.Int[0, 3], Gen.Int[0, 8], Act (a, n) => new Act.Scale(a, n))),
        (1, Gen.Int[0, 3].Select(Act (a) => new Act.Remove(a))),
        (2, Gen.Int[0, 20].Select(Act (w) => new Act.Kill(w))),
        (2, Gen.Int[0, 20].Select(Act (w) => new Act.Crash(w))),
        (1, Gen.Int[1, 3].Select(Act (n) => new Act.Link(n))),
        (3, Gen.Int[0, 12].Select(Act (s) => new Act.Wait(s))),
        (1, Gen.Int[0, 3].Select(Act (a) => new Act.Refused(a))),
        (1, Gen.Const(0).Select(Act (_) => new Act.Restart())));

    [Fact]
    public void Promises_hold_and_the_log_tells_all() => AnyAct.Array[1, 40].Sample(acts =>
    {
        var world = World.With(nodes: 3, cpus: 2, memMib: 512, ports: 5, attributes: i => [("rack", i == 1 ? "a" : "b")]);
        foreach (var act in acts)
        {
            Do(world, act);
            world.Round();
            Check(world);
        }
        var all = world.Log.Aggregate(ClusterState.Empty, (state, e) => state.Fold(e));
        Assert.Equal(Text(all), Text(world.State));
        var cut = world.Log.Count / 2;
        var snapshot = SchedulerJson.ReadState(SchedulerJson.Write(world.Log.Take(cut).Aggregate(ClusterState.Empty, (state, e) => state.Fold(e))));
        Assert.Equal(Text(all), Text(world.Log.Skip(cut).Select(e => SchedulerJson.ReadEvent(SchedulerJson.Write(e))).Aggregate(snapshot, (state, e) => state.Fold(e))));
    }, iter: 50, print: acts => string.Join("; ", acts.Select(a => a.ToString())));

    private static string Text(ClusterState state) => Encoding.UTF8.GetString(SchedulerJson.Write(state));

    private static void Do(World world, Act act)
    {
        var instances = world.State.Apps.Values.SelectMany(a => a.Instances.Values).OrderBy(i => i.Serial).ToList();
        switch (act)
        {
            case Act.Deploy x: world.Ask(World.Put($"/a{x.App}", Encoding.UTF8.GetString(Body(x)), force: x.Shape % 2 == 0)); break;
            case Act.Scale x when world.State.App(AppId.Parse($"/a{x.App}")) is not null: world.Ask(World.Put($"/a{x.App}", $$"""{"instances":{{x.Instances}}}""")); break;
            case Act.Remove x: world.Ask(World.Delete($"/a{x.App}")); break;
            case Act.Kill x when instances.Count > 0: world.Ask(World.Kill(x.Which % 3 == 0, instances[x.Which % instances.Count].Id)); break;
            case Act.Crash x when instances.Count > 0 && world.Nodes[instances[x.Which % instances.Count].Node.Name].Connected:
                world.End(instances[x.Which % instances.Count]);
                break;
            case Act.Link x when world.Nodes[$"n{x.Node}"].Connected: world.Lose($"n{x.Node}"); break;
            case Act.Link x: world.Connect($"n{x.Node}"); break;
            case Act.Wait x: world.Advance(x.Seconds); break;
            case Act.Refused x: world.StepRefused(new Input.Asked(0, World.Put($"/a{x.App}", """{"instances":5}"""))); break;
            case Act.Restart: world.RestartScheduler(); break;
            default: break;
        }
    }

    private static byte[] Body(Act.Deploy x)
    {
        var app = World.Definition($"/a{x.App}", x.Instances, x.Shape % 3) with
        {
            Labels = EquatableMap.Empty.With("shape", $"{x.Shape}"),
            Resources = new Resources(0.1 * (x.Shape + 1), 32, 0),
            Constraints = x.App switch
            {
                1 => [new Constraint("hostname", ConstraintOperator.Unique, null)],
                2 => [new Constraint("rack", ConstraintOperator.MaxPer, "2")],
                _ => default,
            },
            UpgradeStrategy = new UpgradeStrategy(x.Shape / 5.0, x.Shape % 2),
        };
        return Encoding.UTF8.GetBytes(World.Json(app).GetRawText());
    }

    private static void Check(World world)
    {
        foreach (var node in world.State.Nodes.Values)
        {
            var held = node.Instances.Select(i => world.State.Instance(i)!).ToList();
            Assert.Equal(node.Used, held.Aggregate(default(Resources), (sum, i) => sum + i.Resources));
            Assert.True(node.Used.Cpus <= node.Description.Total.Cpus && node.Used.MemMib <= node.Description.Total.MemMib, $"{node.Description.Id} over-promised: {node.Used}");
            var ports = held.SelectMany(i => i.HostPorts.Items).Where(p => p > 0).ToList();
            Assert.Equal(ports.Count, ports.Distinct().Count());
            Assert.True(node.UsedPorts.SetEquals(ports), $"{node.Description.Id} books {node.UsedPorts.Count} ports, its instances hold {ports.Count}");
        }
        Assert.All(Current(world, "/a1").CountBy(i => i.Node), c => Assert.Equal(1, c.Value));
        Assert.All(Current(world, "/a2").CountBy(i => i.Node.Name == "n1"), c => Assert.True(c.Value <= 2));
    }

    private static IEnumerable<Instance> Current(World world, string app) => world.InstancesOf(app).Where(i => !i.IsStopping);
}
