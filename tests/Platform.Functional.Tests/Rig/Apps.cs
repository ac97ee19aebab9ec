using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

/// <summary>App definitions the tests deploy. Every member of the result may be set or replaced before it is sent.</summary>
internal static class Apps
{
    public const int ContainerPort = 8080;

    /// <summary>A bridge container that answers on its first port with which task it is.</summary>
    public static JsonObject Web(string id, int instances = 1) => new()
    {
        ["id"] = id,
        ["cmd"] = $"rails server -p {ContainerPort}",
        ["instances"] = instances,
        ["cpus"] = 0.01,
        ["mem"] = 32,
        ["container"] = new JsonObject
        {
            ["type"] = "DOCKER",
            ["docker"] = new JsonObject
            {
                ["image"] = Machine.TestImage,
                ["network"] = "BRIDGE",
                ["portMappings"] = new JsonArray(new JsonObject { ["containerPort"] = ContainerPort, ["hostPort"] = 0, ["servicePort"] = 0 }),
            },
        },
    };

    /// <summary>An app that only the log has to do with: no instance, and no service port out of the small range of the tests.</summary>
    public static JsonObject Idle(string id) => new()
    {
        ["id"] = id,
        ["cmd"] = "sleep 9999",
        ["instances"] = 0,
        ["ports"] = new JsonArray(),
    };

    public static JsonObject WithHttpCheck(this JsonObject app, string path = "/health") => app.WithCheck(new JsonObject
    {
        ["protocol"] = "HTTP",
        ["path"] = path,
        ["portIndex"] = 0,
    });

    /// <summary>Adds a check that looks every second.</summary>
    public static JsonObject WithCheck(this JsonObject app, JsonObject check)
    {
        check["gracePeriodSeconds"] ??= 120;
        check["intervalSeconds"] ??= 1;
        check["timeoutSeconds"] ??= 20;
        check["maxConsecutiveFailures"] ??= 3;
        app["healthChecks"] = new JsonArray(check);
        return app;
    }

    public static JsonObject With(this JsonObject app, string member, JsonNode value)
    {
        app[member] = value;
        return app;
    }
}
