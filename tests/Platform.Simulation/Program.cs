using System.Diagnostics;
using System.Globalization;
using Platform.Simulation;

// The platform in virtual time: dotnet run --project tests/Platform.Simulation -- [--seed N] [--seeds N] [--seconds S] [--nodes N] [--minutes M] [--bug NAME]
var options = new Dictionary<string, string>(StringComparer.Ordinal);
for (var i = 0; i + 1 < args.Length; i += 2) options[args[i]] = args[i + 1];
if (args.Length % 2 != 0 || options.Keys.FirstOrDefault(k => k is not ("--seed" or "--seeds" or "--seconds" or "--nodes" or "--minutes" or "--bug")) is not null)
{
    Console.Error.WriteLine("usage: [--seed N] [--seeds COUNT] [--seconds BUDGET] [--nodes N] [--minutes VIRTUAL] [--bug NAME]");
    return 23;
}

double Number(string name, double standard) => options.TryGetValue(name, out var text) ? double.Parse(text, CultureInfo.InvariantCulture) : standard;
var bug = options.TryGetValue("--bug", out var named) ? Enum.Parse<SeededBug>(named) : SeededBug.None;
var budget = TimeSpan.FromSeconds(Number("--seconds", 60));
var watch = Stopwatch.StartNew();
var (passed, failed) = (0, 0);

foreach (var seed in Seeds())
{
    if (passed + failed > 0 && watch.Elapsed > budget) break;
    var large = Number("--nodes", 0) > 50;
    if ((large ? Runs.FailsAtScale(seed, (int)Number("--nodes", 0)) : Runs.Fails(seed, (int)Number("--nodes", 0), TimeSpan.FromMinutes(Number("--minutes", 4)), bug)) is { } failure)
    {
        failed++;
        Console.WriteLine(failure);
    }
    else passed++;
}
if (options.ContainsKey("--nodes")) Console.WriteLine($"{watch.Elapsed.TotalSeconds:F1} s of real time");
Console.WriteLine($"{passed} passed, {failed} failed");
return failed == 0 ? 0 : 1;

IEnumerable<ulong> Seeds()
{
    if (options.TryGetValue("--seed", out var one))
    {
        yield return ulong.Parse(one, CultureInfo.InvariantCulture);
        yield break;
    }
    foreach (var line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "seeds.txt")))
        if (ulong.TryParse(line.Split(' ')[0], CultureInfo.InvariantCulture, out var kept)) yield return kept;
    var fresh = (ulong)Random.Shared.NextInt64(1, long.MaxValue / 2);
    for (var i = 0UL; i < (ulong)Number("--seeds", 1e9); i++) yield return (fresh + i) | (i % 2 == 0 ? 0 : World.DeploymentsBit) | (i % 4 < 2 ? 0 : World.NodesBit);
}
