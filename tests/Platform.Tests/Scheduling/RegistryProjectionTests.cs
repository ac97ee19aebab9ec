using Platform.Discovery;
using Platform.Discovery.Catalog;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

public sealed class RegistryProjectionTests
{
    [Fact]
    public void Whatever_happens_the_changes_lead_to_the_table_that_a_new_leader_would_make()
    {
        var random = new Random(5);
        var world = World.With(nodes: 2);
        var table = new EndpointTable();
        table.Apply(Projections.Complete(world.State));
        var (state, seen) = (world.State, world.Log.Count);
        for (var i = 0; i < 300; i++)
        {
            var (node, id) = ($"n{random.Next(1, 4)}", $"s{random.Next(4)}");
            RegistryChange change = random.Next(9) switch
            {
                0 => new RegistryChange.InstanceRemoved(node, id),
                1 => new RegistryChange.CheckSet(new RegisteredCheck(node, $"c-{id}", "c", id, (CheckStatus)random.Next(3)), false),
                2 => new RegistryChange.CheckStated(node, $"c-{id}", (CheckStatus)random.Next(3), ""),
                3 => new RegistryChange.CheckSet(new RegisteredCheck(node, "_node_maintenance", "m", "", (CheckStatus)random.Next(3)), false),
                4 => new RegistryChange.CheckRemoved(node, random.Next(2) == 0 ? $"c-{id}" : "_node_maintenance"),
                5 => new RegistryChange.NodeSet(new RegisteredNode("n3", "", $"10.9.9.{random.Next(3)}", EquatableMap.Empty)),
                6 when random.Next(3) == 0 => new RegistryChange.NodeRemoved(node),
                _ => new RegistryChange.InstanceSet(new RegisteredInstance(node, id, $"app{random.Next(3)}") { Port = random.Next(3) }, false),
            };
            world.Accept(new Command.Store(new StoreRequest.Register([change])) { Origin = ChangeOrigin.Internal });
            if (i % 40 == 10) world.App("/app1").Settle();
            if (i % 40 == 20) world.Lose("n2");
            if (i % 40 == 25) world.Connect("n2");
            if (i % 40 == 30)
            {
                world.Accept(World.Delete("/app1"));
                world.Settle();
            }
            (state, seen) = Follow(world, table, state, seen);
            var afresh = new EndpointTable();
            afresh.Apply(Projections.Complete(world.State));
            Assert.Equal(Shape(afresh.Current), Shape(table.Current));
        }
    }

    /// <summary>Event by event, as the leader's table follows its log.</summary>
    private static (ClusterState State, int Seen) Follow(World world, EndpointTable table, ClusterState state, int seen)
    {
        foreach (var e in world.Log.Skip(seen))
        {
            var after = state.Fold(e);
            table.Apply(new EndpointUpdate(after.ClusterId, table.Current.Revision, after.Revision, false, Projections.Changes(state, e, after).ToEquatableArray()));
            state = after;
        }
        return (state, world.Log.Count);
    }

    private static string Shape(EndpointSnapshot snapshot) => string.Join('\n', snapshot.Services.Values.Select(x => $"{x.Service}: {string.Join(' ', x.Endpoints.Values)}"));
}
