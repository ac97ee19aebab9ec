using System.Text;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>The SQLite log while a snapshot is written beside it.</summary>
public sealed class ClusterLogTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("platform-log-");

    public void Dispose() => _directory.Delete(recursive: true);

    private static string Text(ClusterState state) => Encoding.UTF8.GetString(SchedulerJson.Write(state));

    [Fact]
    public async Task Appends_and_snapshots_at_once_lose_nothing_and_the_log_stays_short()
    {
        var state = ClusterState.Empty;
        await using (var log = SqliteClusterLog.Open(_directory.FullName))
        {
            var snapshots = Task.CompletedTask;
            for (var batch = 0; batch < 400; batch++)
            {
                var events = Enumerable.Range(batch * 10, 10).Select(SchedulerEvent (i) => new SchedulerEvent.NodeJoined(Node(i % 50, i)) { At = World.Start }).ToArray();
                await log.AppendAsync(state.Revision, [.. events], CancellationToken.None);
                state = events.Aggregate(state, (s, e) => s.Fold(e));
                if (batch % 100 != 99) continue;
                var (before, at) = (snapshots, state);
                snapshots = Task.Run(async () =>
                {
                    await before;
                    await log.SaveSnapshotAsync(at, CancellationToken.None);
                });
            }
            await snapshots;
        }
        await using (var log = SqliteClusterLog.Open(_directory.FullName))
            Assert.Equal(Text(state), Text(await log.RecoverAsync(CancellationToken.None)));
        using var reader = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Path.Combine(_directory.FullName, "cluster.db")};Pooling=false");
        reader.Open();
        using var count = reader.CreateCommand();
        count.CommandText = "SELECT COUNT(*), MIN(revision) FROM log";
        using var row = count.ExecuteReader();
        Assert.True(row.Read());
        Assert.Equal((1000, 3001), (row.GetInt64(0), row.GetInt64(1))); // from the older of the two snapshots kept
    }

    private static NodeDescription Node(int index, int cpus) => new()
    {
        Id = NodeId.Parse($"n{index}"), Address = "10.0.0.1", Total = new Resources(cpus, 1, 1), TaskPortMin = 31000, TaskPortMax = 31099, Runtimes = ["process"],
    };
}
