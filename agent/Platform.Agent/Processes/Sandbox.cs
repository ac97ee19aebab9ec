using System.Globalization;
using System.Text.Json;
using Platform.Model;
using Platform.Protocol;

namespace Platform.Agent.Processes;

/// <summary>What the disk knows of a process task; written with fsync before the task's command may begin.</summary>
internal sealed record SandboxRecord(string ClusterId, string Node, InstanceId Instance, long Serial, string App, double MemMib, string? Limitless, ProcessIdentity? Process, DateTimeOffset? StartedAt)
{
    /// <summary>Whom it runs as; null = whom the agent runs as.</summary>
    public string? User { get; init; }
}

/// <summary>The directory of one process task: its working directory, its output, and under <c>.platform</c> what the agent has to know again after a restart.</summary>
internal sealed class Sandbox(string root, InstanceId id)
{
    public string Directory { get; } = Path.Combine(root, id.TaskId);
    public string Stdout => Path.Combine(Directory, "stdout");
    public string Stderr => Path.Combine(Directory, "stderr");
    public string ExitFile => Path.Combine(Directory, ".platform", "exit");
    private string RecordFile => Path.Combine(Directory, ".platform", "task.json");

    public bool Exists => File.Exists(RecordFile);

    public void Create() => System.IO.Directory.CreateDirectory(Path.Combine(Directory, ".platform"));

    /// <summary>Null if there is none, or it never became whole.</summary>
    public SandboxRecord? Read()
    {
        try
        {
            return DurableFile.Read(RecordFile) is { } bytes ? JsonSerializer.Deserialize<SandboxRecord>(bytes, AgentCodec.Json) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public void Write(SandboxRecord record) => DurableFile.Write(RecordFile, JsonSerializer.SerializeToUtf8Bytes(record, AgentCodec.Json));

    /// <summary>The command's exit status, when its shell lived to write it.</summary>
    public (int Code, DateTimeOffset At)? Exit()
    {
        try
        {
            return DurableFile.Read(ExitFile) is { } bytes && int.TryParse(System.Text.Encoding.ASCII.GetString(bytes).Trim(), CultureInfo.InvariantCulture, out var code)
                ? (code, File.GetLastWriteTimeUtc(ExitFile))
                : null;
        }
        catch (IOException)
        {
            return null;
        }
    }

    public string LastOutput()
    {
        var text = Tail(Stderr);
        return text.Length > 0 ? text : Tail(Stdout);
    }

    public void Remove()
    {
        if (System.IO.Directory.Exists(Directory)) System.IO.Directory.Delete(Directory, recursive: true);
    }

    private static string Tail(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            file.Seek(-Math.Min(file.Length, OutputTail.BytesMax), SeekOrigin.End);
            var buffer = new byte[OutputTail.BytesMax];
            var tail = new OutputTail();
            tail.Add(buffer.AsSpan(0, file.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false)));
            return tail.ToString();
        }
        catch (IOException)
        {
            return "";
        }
    }
}
