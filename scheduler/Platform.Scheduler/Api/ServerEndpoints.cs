using System.Text.Json;

namespace Platform.Scheduler.Api;

/// <summary>What the server says of itself: /ping, /v2/info, /v2/leader (contract 1.9).</summary>
internal static class ServerEndpoints
{
    public static Answer Ping(Call call)
    {
        var accept = call.Http.Request.Headers.Accept.ToString();
        if (accept.Length == 0 || accept.Contains("text/plain", StringComparison.OrdinalIgnoreCase) || accept.Contains("*/*", StringComparison.Ordinal))
            return new Answer(200) { Text = "pong" };
        return accept.Contains("application/json", StringComparison.OrdinalIgnoreCase) ? Answer.Of(200, writer => writer.WriteStringValue("pong")) : new Answer(204);
    }

    public static Answer Leader(Call call) => Answer.Of(200, writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("leader", Call.LeaderOf(call.Http, call.Options));
        writer.WriteEndObject();
    });

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
        writer.WriteBoolean("checkpoint", true);
        writer.WriteString("executor", "//cmd");
        writer.WriteStartArray("features");
        writer.WriteEndArray();
        writer.WriteString("framework_name", "marathon");
        writer.WriteBoolean("ha", false);
        writer.WriteString("hostname", leader.LastIndexOf(':') is var cut and > 0 ? leader[..cut] : leader);
        writer.WriteNumber("local_port_min", settings.ServicePortMin);
        writer.WriteNumber("local_port_max", settings.ServicePortMax);
        writer.WriteNumber("max_running_deployments", settings.DeploymentsMax);
        writer.WriteEndObject();
    }
}
