using System.Text.Json;
using Platform.Discovery;
using Platform.Model;
using Platform.Protocol;

namespace Platform.Agent;

/// <summary>
/// A node's copy of the store on its disk: a line with the whole, then a line for each time something came, until the file has doubled. It only shortens the way to
/// the present after a start, and serves readers while no leader is heard; the truth is the leader's log. So nothing is synced, and an end that was cut off is dropped.
/// </summary>
internal sealed class StoreFile(string path)
{
    private const long SmallBytes = 1 << 20;

    private sealed record Line(string Epoch, StoreState? Whole, long From, EquatableArray<StoredEvent> Events);

    private long _wholeBytes;
    private long _bytes;

    /// <summary>What the file comes to, as updates in their order; none where there is no file, or where it cannot be read from its first line on.</summary>
    public IEnumerable<StoreUpdate> Read()
    {
        if (!File.Exists(path)) yield break;
        using var file = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read));
        while (file.ReadLine() is { } text)
        {
            if (Parse(text) is not { } line) yield break;
            yield return line.Whole is { } whole ? new StoreUpdate.Whole(line.Epoch, whole) : new StoreUpdate.Since(line.Epoch, line.From, line.Events);
        }
    }

    /// <summary>True: the file has grown so much that it is better written whole.</summary>
    public bool IsLong => _bytes > _wholeBytes * 2 + SmallBytes;

    public void Write(StoreUpdate update)
    {
        switch (update)
        {
            case StoreUpdate.Whole x:
                var whole = Bytes(new Line(x.Epoch, x.State, 0, default));
                DurableFile.Write(path, whole, sync: false);
                _wholeBytes = _bytes = whole.Length;
                break;
            case StoreUpdate.Since x:
                var since = Bytes(new Line(x.Epoch, null, x.From, x.Events));
                using (var file = new FileStream(path, FileMode.Append, FileAccess.Write)) file.Write(since);
                _bytes += since.Length;
                break;
        }
    }

    private static byte[] Bytes(Line line) => [.. JsonSerializer.SerializeToUtf8Bytes(line, AgentCodec.Json), (byte)'\n'];

    private static Line? Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<Line>(text, AgentCodec.Json);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
