using System.Text.Json;
using Microsoft.Extensions.Logging;
using Platform.Model;
using Platform.Scheduler.Metrics;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>What the server says of itself, and what it can be told: /ping, /v2/info, /v2/leader, /metrics, /logging, /config (contract 1.9).</summary>
internal sealed class ServerEndpoints(SchedulerMeters meters)
{
    private static readonly Dictionary<string, LogLevel> Levels = new(StringComparer.OrdinalIgnoreCase)
    {
        ["trace"] = LogLevel.Trace, ["debug"] = LogLevel.Debug, ["info"] = LogLevel.Information,
        ["warn"] = LogLevel.Warning, ["error"] = LogLevel.Error, ["off"] = LogLevel.None,
    };

    public static Answer Ping(Call call)
    {
        var accept = call.Http.Request.Headers.Accept.ToString();
        if (accept.Length == 0 || accept.Contains("text/plain", StringComparison.OrdinalIgnoreCase)
            || accept.Contains("*/*", StringComparison.Ordinal))
            return new Answer(200) { Text = "pong" };
        return accept.Contains("application/json", StringComparison.OrdinalIgnoreCase)
            ? Answer.Of(200, writer => writer.WriteStringValue("pong"))
            : new Answer(204);
    }

    public static Answer Leader(Call call) => Answer.Of(200, writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("leader", Call.LeaderOf(call.Http, call.Options));
        writer.WriteEndObject();
    });

    /// <summary>The answer goes out first: whoever leads resigns half a second later.</summary>
    public static Answer Abdicate(Call call)
    {
        foreach (var name in new[] { "backup", "restore" })
            if (call.Query.ContainsKey(name))
                return Answer.Message(422, $"The parameter {name} is not known to this version of Platform: "
                    + "stop it and copy cluster.db* from its data directory instead");
        if (call.Options.Abdicate is not { } abdicate) return Answer.NotFound("There is no leader that could abdicate");
        abdicate();
        return Answer.Message(200, "Leadership abdicated");
    }

    public Answer Metrics(Call call) => Answer.Of(200, meters.WriteJson);
    public Answer Prometheus(Call call) => new(200) { Text = meters.PrometheusText(), TextType = "text/plain; version=0.0.4; charset=utf-8" };

    /// <summary>What was set at the start, by flag; secrets only say that they are set.</summary>
    public static Answer Configuration(Call call) => Answer.Of(200, writer =>
    {
        writer.WriteStartObject();
        foreach (var (name, value) in call.Options.Configuration) writer.WriteString(name, value);
        writer.WriteEndObject();
    });

    public static Answer Logging(Call call) => Answer.Of(200, writer =>
    {
        writer.WriteStartObject();
        foreach (var (logger, level, inherited) in call.Options.LogLevels.All)
            writer.WriteString(logger, inherited ? $"{WordOf(level)} (inherited)" : WordOf(level));
        writer.WriteEndObject();
    });

    public static async Task<Answer> SetLoggingAsync(Call call)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        if (body.ValueKind != JsonValueKind.Object) return Answer.WrongShape(new Problem("/", "error.expected.jsobject"));
        var problems = new List<Problem>();
        var logger = Text(body, "logger", problems);
        var word = Text(body, "level", problems);
        var level = LogLevel.None;
        if (word is not null && !Levels.TryGetValue(word, out level)) problems.Add(new Problem("/level", "error.unknown.enum.literal"));
        var seconds = 0;
        var lasts = body.TryGetProperty("durationSeconds", out var duration) && duration.ValueKind != JsonValueKind.Null;
        if (lasts && duration.ValueKind != JsonValueKind.Number) problems.Add(new Problem("/durationSeconds", "error.expected.jsnumber"));
        else if (lasts && (!duration.TryGetInt32(out seconds) || seconds < 1)) problems.Add(new Problem("/durationSeconds", "error.min"));
        else if (seconds > LogLevels.DurationMax.TotalSeconds) problems.Add(new Problem("/durationSeconds", "error.max"));
        if (logger?.Length > LogLevels.NameLengthMax) problems.Add(new Problem("/logger", "error.maxLength"));
        if (problems.Count > 0) return Answer.WrongShape([.. problems]);
        var name = logger!.Equals(LogLevels.Root, StringComparison.OrdinalIgnoreCase) ? LogLevels.Root : logger;
        if (!call.Options.LogLevels.TrySet(name, level, lasts ? TimeSpan.FromSeconds(seconds) : null))
            return Answer.Message(422, $"There are {LogLevels.LoggersMax} loggers with a level of their own, and no more are kept");
        return Answer.Of(200, writer =>
        {
            writer.WriteStartObject();
            writer.WriteString("logger", name);
            writer.WriteString("level", WordOf(level).ToLowerInvariant());
            if (lasts) writer.WriteNumber("durationSeconds", seconds);
            writer.WriteEndObject();
        });
    }

    /// <summary>Nothing can be plugged in, so there is nothing to list.</summary>
    public static Answer Plugins(Call call) => Answer.List<string>("plugins", [], (_, _) => { });

    public static Answer NoPlugin(PathPieces at) => Answer.NotFound($"No plugin with this pluginId: {at.Id[0]}");

    public static Answer Info(Call call) => Answer.Of(200, writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("name", "marathon"); // clients look for this word to know the contract
        writer.WriteString("version", call.Options.Version);
        writer.WriteString("buildref", "platform");
        writer.WriteBoolean("elected", true);
        writer.WriteString("leader", Call.LeaderOf(call.Http, call.Options));
        writer.WriteString("frameworkId", call.View.State.ClusterId);
        WriteConfig(writer, call);
        writer.WriteStartObject("zookeeper_config");
        writer.WriteNumber("zk_max_versions", AppState.VersionsMax); // the one of its keys that means something without ZooKeeper
        writer.WriteEndObject();
        writer.WriteStartObject("event_subscriber");
        writer.WriteString("type", "http_callback");
        writer.WriteNull("http_endpoints");
        writer.WriteEndObject();
        writer.WriteStartObject("http_config");
        writer.WriteNumber("http_port", call.Http.Connection.LocalPort);
        writer.WriteNull("https_port");
        writer.WriteEndObject();
        writer.WriteEndObject();
    });

    /// <summary>Those of the contract's keys that mean something here.</summary>
    private static void WriteConfig(Utf8JsonWriter writer, Call call)
    {
        var settings = call.Options.Settings;
        var leader = Call.LeaderOf(call.Http, call.Options);
        writer.WriteStartObject("marathon_config");
        writer.WriteStartArray("access_control_allow_origin");
        foreach (var origin in call.Options.AllowedOrigins) writer.WriteStringValue(origin);
        writer.WriteEndArray();
        writer.WriteBoolean("checkpoint", true);
        writer.WriteString("executor", "//cmd");
        writer.WriteStartArray("features");
        writer.WriteStringValue("task_killing"); // that a task is being killed is a state of its own
        writer.WriteStringValue("secrets");
        writer.WriteEndArray();
        writer.WriteString("framework_name", "marathon");
        writer.WriteBoolean("ha", false);
        writer.WriteString("hostname", leader.LastIndexOf(':') is var cut and > 0 ? leader[..cut] : leader);
        writer.WriteNumber("local_port_min", settings.ServicePortMin);
        writer.WriteNumber("local_port_max", settings.ServicePortMax);
        writer.WriteString("mesos_role", "*");
        writer.WriteString("webui_url", $"{call.Http.Request.Scheme}://{leader}/ui/");
        writer.WriteEndObject();
    }

    private static string? Text(JsonElement body, string name, List<Problem> problems)
    {
        if (!body.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null) problems.Add(new Problem("/" + name, "error.path.missing"));
        else if (value.ValueKind != JsonValueKind.String) problems.Add(new Problem("/" + name, "error.expected.jsstring"));
        else if (value.GetString() is { Length: > 0 } text) return text;
        else problems.Add(new Problem("/" + name, "error.minLength"));
        return null;
    }

    private static string WordOf(LogLevel level) => level == LogLevel.Critical ? "ERROR" : Levels.Single(l => l.Value == level).Key.ToUpperInvariant();
}
