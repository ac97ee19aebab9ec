using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using Platform.Scheduling;

namespace Platform.Scheduler.Storage;

/// <summary>
/// The embedded log: one SQLite file in WAL mode with synchronous=FULL, so that an append that returned survives a power cut.
/// The revision is the primary key and thereby the fence: two writers cannot both store it.
/// </summary>
public sealed class SqliteClusterLog : IClusterLog
{
    public const int Format = 1;

    /// <summary>Snapshots kept: the newest, and the one before in case the newest does not verify.</summary>
    private const int SnapshotsKept = 2;

    private readonly string _file;
    private readonly SqliteConnection _connection;
    private readonly FileStream _lock;

    private SqliteClusterLog(string file, SqliteConnection connection, FileStream @lock)
    {
        _file = file;
        _connection = connection;
        _lock = @lock;
    }

    /// <summary>Opens or makes the log in <paramref name="directory"/>; one process at a time.</summary>
    public static SqliteClusterLog Open(string directory)
    {
        Directory.CreateDirectory(directory);
        FileStream @lock;
        try
        {
            // Held until the process ends, however it ends.
            @lock = new FileStream(Path.Combine(directory, "log.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new LogUnreadableException($"The data directory {directory} is in use by another platform, or cannot be written: {e.Message}", e);
        }
        try
        {
            var file = Path.Combine(directory, "cluster.db");
            var connection = new SqliteConnection(new SqliteConnectionStringBuilder
            {
                DataSource = file, Pooling = false, DefaultTimeout = 2,
            }.ToString());
            connection.Open();
            Execute(connection, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000;");
            if (Scalar(connection, "PRAGMA synchronous") is not 2L) throw new LogUnreadableException("SQLite would not use synchronous=FULL");
            Execute(connection, """
                CREATE TABLE IF NOT EXISTS log(revision INTEGER PRIMARY KEY, at INTEGER NOT NULL, format INTEGER NOT NULL, body BLOB NOT NULL);
                CREATE TABLE IF NOT EXISTS snapshot(revision INTEGER PRIMARY KEY, format INTEGER NOT NULL, sha256 BLOB NOT NULL, body BLOB NOT NULL);
                """);
            return new SqliteClusterLog(file, connection, @lock);
        }
        catch (SqliteException e)
        {
            @lock.Dispose();
            throw new LogUnreadableException($"The cluster log in {directory} cannot be opened: {e.Message}", e);
        }
    }

    public ValueTask<ClusterState> RecoverAsync(CancellationToken stopping)
    {
        try
        {
            var state = NewestGoodSnapshot() ?? ClusterState.Empty;
            using var tail = Command("SELECT revision, format, body FROM log WHERE revision > $from ORDER BY revision", ("$from", state.Revision));
            using var rows = tail.ExecuteReader();
            while (rows.Read())
            {
                stopping.ThrowIfCancellationRequested();
                var revision = rows.GetInt64(0);
                if (revision != state.Revision + 1)
                    throw new LogUnreadableException($"The cluster log has a gap: revision {revision} follows {state.Revision}");
                if (rows.GetInt32(1) > Format)
                    throw new LogUnreadableException($"Revision {revision} of the cluster log was written by a newer version (format {rows.GetInt32(1)}, this one reads up to {Format})");
                state = state.Fold(SchedulerJson.ReadEvent(rows.GetFieldValue<byte[]>(2)));
            }
            return ValueTask.FromResult(state);
        }
        catch (Exception e) when (e is SqliteException or JsonException or FormatException or NotSupportedException)
        {
            throw new LogUnreadableException($"The cluster log cannot be read: {e.Message}", e);
        }
    }

    public ValueTask AppendAsync(long expected, ImmutableArray<SchedulerEvent> events, CancellationToken stopping)
    {
        try
        {
            using var transaction = _connection.BeginTransaction(deferred: false);
            using var insert = Command("INSERT INTO log(revision, at, format, body) VALUES($revision, $at, $format, $body)",
                ("$revision", 0L), ("$at", 0L), ("$format", Format), ("$body", Array.Empty<byte>()));
            insert.Transaction = transaction;
            var revision = expected;
            foreach (var e in events)
            {
                insert.Parameters["$revision"].Value = ++revision;
                insert.Parameters["$at"].Value = e.At.ToUnixTimeMilliseconds();
                insert.Parameters["$body"].Value = SchedulerJson.Write(e);
                insert.ExecuteNonQuery();
            }
            transaction.Commit();
            return ValueTask.CompletedTask;
        }
        catch (SqliteException e) when (e.SqliteErrorCode == 19 /* SQLITE_CONSTRAINT */)
        {
            throw new LogOvertakenException($"Revision {expected + 1} of the cluster log is already taken");
        }
        catch (SqliteException e)
        {
            throw new LogRefusedException($"The cluster log could not be written: {e.Message}", e);
        }
    }

    public ValueTask SaveSnapshotAsync(ClusterState state, CancellationToken stopping)
    {
        try
        {
            var body = SchedulerJson.Write(state);
            using var transaction = _connection.BeginTransaction(deferred: false);
            using var insert = Command("INSERT OR REPLACE INTO snapshot(revision, format, sha256, body) VALUES($revision, $format, $sha256, $body)",
                ("$revision", state.Revision), ("$format", Format), ("$sha256", SHA256.HashData(body)), ("$body", body));
            insert.ExecuteNonQuery();
            using var prune = Command("DELETE FROM snapshot WHERE revision NOT IN (SELECT revision FROM snapshot ORDER BY revision DESC LIMIT $kept)", ("$kept", SnapshotsKept));
            prune.ExecuteNonQuery();
            // Events that even the older snapshot holds are superfluous; those since then are its way to the present.
            using var compact = Command("DELETE FROM log WHERE revision <= (SELECT MIN(revision) FROM snapshot) AND (SELECT COUNT(*) FROM snapshot) >= $kept", ("$kept", SnapshotsKept));
            compact.ExecuteNonQuery();
            transaction.Commit();
            return ValueTask.CompletedTask;
        }
        catch (SqliteException e)
        {
            throw new LogRefusedException($"The snapshot could not be written: {e.Message}", e);
        }
    }

    /// <summary>On a connection of its own: WAL lets it read one consistent state while the loop appends.</summary>
    public ValueTask<ImmutableArray<Folded>> ReadTailAsync(int count, CancellationToken stopping)
    {
        try
        {
            using var connection = new SqliteConnection(new SqliteConnectionStringBuilder
            {
                DataSource = _file, Mode = SqliteOpenMode.ReadOnly, Pooling = false, DefaultTimeout = 2,
            }.ToString());
            connection.Open();
            using var transaction = connection.BeginTransaction(deferred: true);
            var newest = Convert.ToInt64(Scalar(connection, "SELECT COALESCE(MAX(revision), 0) FROM log"), System.Globalization.CultureInfo.InvariantCulture);
            var state = SnapshotBefore(connection, newest - count);
            var tail = ImmutableArray.CreateBuilder<Folded>();
            using var select = connection.CreateCommand();
            select.CommandText = "SELECT revision, body FROM log WHERE revision > $from ORDER BY revision";
            select.Parameters.AddWithValue("$from", state.Revision);
            using var rows = select.ExecuteReader();
            while (rows.Read() && rows.GetInt64(0) == state.Revision + 1)
            {
                stopping.ThrowIfCancellationRequested();
                var before = state;
                var e = SchedulerJson.ReadEvent(rows.GetFieldValue<byte[]>(1));
                state = state.Fold(e);
                if (state.Revision > newest - count) tail.Add(new Folded(before, e, state));
            }
            return ValueTask.FromResult(tail.ToImmutable());
        }
        catch (Exception e) when (e is SqliteException or JsonException)
        {
            throw new LogRefusedException($"The cluster log could not be read: {e.Message}", e);
        }
    }

    public ValueTask DisposeAsync()
    {
        _connection.Dispose();
        _lock.Dispose();
        return ValueTask.CompletedTask;
    }

    private ClusterState? NewestGoodSnapshot()
    {
        using var select = Command("SELECT revision, format, sha256, body FROM snapshot ORDER BY revision DESC");
        using var rows = select.ExecuteReader();
        var damaged = false;
        while (rows.Read())
        {
            var body = rows.GetFieldValue<byte[]>(3);
            if (rows.GetInt32(1) > Format) throw new LogUnreadableException($"The snapshot at revision {rows.GetInt64(0)} was written by a newer version");
            if (SHA256.HashData(body).AsSpan().SequenceEqual(rows.GetFieldValue<byte[]>(2))) return SchedulerJson.ReadState(body);
            damaged = true;
        }
        return damaged ? throw new LogUnreadableException("No snapshot of the cluster log matches its checksum") : null;
    }

    /// <summary>The newest kept state that lies before so many events; the oldest there is, if none does.</summary>
    private static ClusterState SnapshotBefore(SqliteConnection connection, long revision)
    {
        var body = Scalar(connection, $"SELECT body FROM snapshot WHERE revision <= {revision} ORDER BY revision DESC LIMIT 1");
        if (body is null && Scalar(connection, "SELECT MIN(revision) FROM log") is not 1L)
            body = Scalar(connection, "SELECT body FROM snapshot ORDER BY revision LIMIT 1");
        return body is byte[] bytes ? SchedulerJson.ReadState(bytes) : ClusterState.Empty;
    }

    private SqliteCommand Command(string sql, params ReadOnlySpan<(string Name, object Value)> parameters)
    {
        var command = _connection.CreateCommand();
        command.CommandText = sql;
        foreach (var (name, value) in parameters) command.Parameters.AddWithValue(name, value);
        return command;
    }

    private static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private static object? Scalar(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }
}
