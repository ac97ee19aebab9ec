using System.Globalization;
using System.Text;

namespace Platform.Simulation;

/// <summary>One seed's run, and what to print when a promise broke.</summary>
internal static class Runs
{
    private static readonly TimeSpan Calm = TimeSpan.FromMinutes(5);

    /// <param name="nodes">0: as many as the seed says.</param>
    public static string? Fails(ulong seed, int nodes, TimeSpan trouble, SeededBug bug)
    {
        var world = new World(seed, nodes > 0 ? nodes : 2 + (int)(seed % 5), bug: bug);
        try
        {
            world.Run(trouble, Calm);
            return null;
        }
        catch (PromiseBrokenException broken)
        {
            return Describe(world, broken.Message, broken.Key);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return Describe(world, e.ToString(), "");
        }
    }

    /// <summary>How fast the brain is: twenty instances on every node, from nothing to ready, without faults.</summary>
    public static string? FailsAtScale(ulong seed, int nodes)
    {
        var world = new World(seed, nodes, new Faults());
        try
        {
            world.RunAtScale();
            return null;
        }
        catch (PromiseBrokenException broken)
        {
            return Describe(world, broken.Message, broken.Key);
        }
    }

    private static string Describe(World world, string promise, string key)
    {
        var text = new StringBuilder();
        foreach (var line in world.Trace.Last(key, 50)) text.AppendLine(line);
        text.AppendLine(world.Faults.ToString());
        text.AppendLine(CultureInfo.InvariantCulture, $"FAILED seed {world.Seed} with {world.Nodes.Count} nodes at {(world.Clock.Now - Clockwork.Start).TotalSeconds:F3} s: {promise}");
        text.Append(CultureInfo.InvariantCulture, $"again: dotnet run --project tests/Platform.Simulation -- --seed {world.Seed}");
        return text.ToString();
    }
}
