using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>The files that this node keeps: the directory of known formats, and those made of the user's own templates.</summary>
public sealed record EndpointFilesOptions
{
    public required string Directory { get; init; }

    /// <summary>Where apps are named in DNS.</summary>
    public string Domain { get; init; } = "marathon.mesos";

    /// <summary>This node's name, for templates.</summary>
    public string Node { get; init; } = "";

    public FileRights Rights { get; init; } = FileRights.Default;
    public EquatableArray<FileTemplate> Templates { get; init; }

    /// <summary>Where is written down which files templates have made, so that those of apps that are gone are removed also after a restart.</summary>
    public string? TemplateMemory { get; init; }
}

/// <summary>One template of the user's.</summary>
/// <param name="Source">The Liquid text; read again when it changes.</param>
/// <param name="Destination">The file to make. With <c>{app}</c> in it, one for each app, which the template then sees as <c>app</c>.</param>
public sealed record FileTemplate(string Source, string Destination)
{
    public const string AppPlace = "{app}";

    /// <summary>Of a template for each app: only this one, or those within this group.</summary>
    public AppId? Within { get; init; }

    public FileRights Rights { get; init; } = FileRights.Default;

    /// <summary>Is run, without a shell, on the new file before it takes the old one's place; <c>{file}</c> in it is where that lies. Anything but exit code 0 keeps the old file.</summary>
    public EquatableArray<string> Check { get; init; }

    /// <summary>Is run, without a shell, after files have changed: once, however many templates with the same words have.</summary>
    public EquatableArray<string> Command { get; init; }

    /// <summary>Sent after a change to the process whose number is in <see cref="PidFile"/>.</summary>
    public int? Signal { get; init; }

    public string? PidFile { get; init; }

    /// <summary>For the check and for the command.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    public bool ForEachApp => Destination.Contains(AppPlace, StringComparison.Ordinal);
}

/// <summary>Reads the file that <c>--files-config</c> names. Every problem is told at once.</summary>
public static class EndpointFilesConfig
{
    private const int TemplatesMax = 100;
    private static readonly Dictionary<string, int> Signals = new(StringComparer.Ordinal) { ["HUP"] = 1, ["INT"] = 2, ["QUIT"] = 3, ["USR1"] = 10, ["USR2"] = 12, ["TERM"] = 15, ["WINCH"] = 28 };

    /// <param name="otherwise">What holds where the file says nothing.</param>
    /// <param name="path">Of the file; templates' sources are found from its directory.</param>
    public static (EndpointFilesOptions Options, IReadOnlyList<string> Problems) Read(EndpointFilesOptions otherwise, string path)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            var reading = new Reading(Path.GetDirectoryName(Path.GetFullPath(path))!);
            var options = reading.Options(otherwise, document.RootElement);
            return (options, reading.Problems);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return (otherwise, [e.Message]);
        }
    }

    private sealed class Reading(string home)
    {
        public List<string> Problems { get; } = [];

        public EndpointFilesOptions Options(EndpointFilesOptions otherwise, JsonElement config)
        {
            if (!IsObject("", config, "directory", "mode", "owner", "templates")) return otherwise;
            var templates = new List<FileTemplate>();
            if (config.TryGetProperty("templates", out var list))
                if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() > TemplatesMax) Problems.Add($"/templates: a list of at most {TemplatesMax} is wanted");
                else foreach (var (template, i) in list.EnumerateArray().Select((x, i) => (x, i)))
                    if (Template($"/templates({i})", template) is { } read) templates.Add(read);
            foreach (var twice in templates.GroupBy(x => x.Destination).Where(x => x.Count() > 1)) Problems.Add($"/templates: several make {twice.Key}");
            var directory = Text("", config, "directory");
            if (directory is not null && !Path.IsPathRooted(directory)) Problems.Add($"/directory: '{directory}' is not an absolute path");
            return otherwise with { Directory = directory ?? otherwise.Directory, Rights = Rights("", config), Templates = templates.ToEquatableArray() };
        }

        private FileTemplate? Template(string at, JsonElement template)
        {
            if (!IsObject(at, template, "source", "destination", "app", "mode", "owner", "check", "command", "signal", "pidFile", "patienceSeconds")) return null;
            var (source, destination) = (Text(at, template, "source"), Text(at, template, "destination"));
            if (source is null) Problems.Add($"{at}/source: the template's file is wanted");
            if (destination is null || !Path.IsPathRooted(destination)) Problems.Add($"{at}/destination: the absolute path of the file to make is wanted");
            if (source is null || destination is null) return null;
            source = Path.GetFullPath(source, home);
            if (!File.Exists(source)) Problems.Add($"{at}/source: there is no file {source}");
            var read = new FileTemplate(source, destination)
            {
                Within = App(at, template), Rights = Rights(at, template), Check = Words(at, template, "check"), Command = Words(at, template, "command"),
                Signal = Signal(at, template), PidFile = Text(at, template, "pidFile"), Patience = Patience(at, template),
            };
            if (read.Within is not null && !read.ForEachApp) Problems.Add($"{at}/app: only goes with {FileTemplate.AppPlace} in the destination");
            if (read.Signal is not null && !read.Command.IsEmpty) Problems.Add($"{at}: a command or a signal, not both");
            if ((read.Signal is null) != (read.PidFile is null)) Problems.Add($"{at}/signal: goes with a pidFile, and a pidFile with a signal");
            return read;
        }

        private bool IsObject(string at, JsonElement value, params ReadOnlySpan<string> known)
        {
            if (value.ValueKind != JsonValueKind.Object)
            {
                Problems.Add($"{(at.Length == 0 ? "/" : at)}: an object is wanted");
                return false;
            }
            foreach (var member in value.EnumerateObject())
                if (!known.Contains(member.Name)) Problems.Add($"{at}/{member.Name}: is not known; what is: {string.Join(", ", known!)}");
            return true;
        }

        private string? Text(string at, JsonElement of, string name)
        {
            if (!of.TryGetProperty(name, out var value)) return null;
            if (value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text) return text;
            Problems.Add($"{at}/{name}: a text is wanted");
            return null;
        }

        private EquatableArray<string> Words(string at, JsonElement of, string name)
        {
            if (!of.TryGetProperty(name, out var value)) return default;
            if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value.EnumerateArray().All(x => x.ValueKind == JsonValueKind.String))
                return value.EnumerateArray().Select(x => x.GetString()!).ToEquatableArray();
            Problems.Add($"{at}/{name}: the program and its arguments, one text each, are wanted, such as [\"systemctl\", \"reload\", \"haproxy\"]; there is no shell");
            return default;
        }

        private FileRights Rights(string at, JsonElement of)
        {
            var rights = FileRights.Default;
            if (Text(at, of, "mode") is { } modeText)
                if (FileRights.TryParseMode(modeText, out var mode)) rights = rights with { Mode = mode };
                else Problems.Add($"{at}/mode: '{modeText}' is none: octal digits are wanted that let the owner read and write, such as 0644");
            if (Text(at, of, "owner") is { } ownerText)
                if (FileRights.TryParseOwner(ownerText, out var owner, out var why)) rights = rights with { Owner = owner };
                else Problems.Add($"{at}/owner: {why}");
            return rights;
        }

        private AppId? App(string at, JsonElement of)
        {
            if (Text(at, of, "app") is not { } text) return null;
            if (AppId.TryParse(text, out var app, out var why)) return app;
            Problems.Add($"{at}/app: '{text}' is no app: {why}");
            return null;
        }

        private int? Signal(string at, JsonElement of)
        {
            if (Text(at, of, "signal") is not { } text) return null;
            if (Signals.TryGetValue(text.StartsWith("SIG", StringComparison.Ordinal) ? text[3..] : text, out var signal)) return signal;
            Problems.Add($"{at}/signal: '{text}' is none of {string.Join(", ", Signals.Keys)}");
            return null;
        }

        private TimeSpan Patience(string at, JsonElement of)
        {
            if (!of.TryGetProperty("patienceSeconds", out var value)) return TimeSpan.FromSeconds(30);
            if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var seconds) && seconds is > 0 and <= 3600) return TimeSpan.FromSeconds(seconds);
            Problems.Add($"{at}/patienceSeconds: more than 0 and at most 3600 is wanted");
            return TimeSpan.FromSeconds(30);
        }
    }
}
