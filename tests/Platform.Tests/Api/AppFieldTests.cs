using System.Net;
using System.Text.Json.Nodes;

namespace Platform.Tests.Api;

/// <summary>
/// The field tables of contract section 2, a row each: what a client writes and what every answer then shows, and what is refused, where and why.
/// A row's body is laid over a plain app.
/// </summary>
public sealed class AppFieldTests
{
    private const string Docker = "{\"container\":{\"type\":\"DOCKER\",\"docker\":{\"image\":\"web\"}}}";
    private const string Volume = "\"container\":{\"type\":\"MESOS\",\"volumes\":[{\"containerPath\":\"data\",\"mode\":\"RW\",\"persistent\":{\"type\":\"root\",\"size\":10}}]}";

    // (what is written, where to look, what is shown there; "" = nothing)
    [Theory]
    // 2.1
    [InlineData("""{"id":"f/../x"}""", "id", "\"/x\"")]
    [InlineData("""{"cmd":"sleep $PORT0"}""", "cmd", "\"sleep $PORT0\"")]
    [InlineData("""{"cmd":null,"args":["sleep","1"]}""", "args", """["sleep","1"]""")]
    [InlineData("""{"user":"nobody"}""", "user", "\"nobody\"")]
    [InlineData("""{"env":{"A":"1"}}""", "env", """{"A":"1"}""")]
    [InlineData("{}", "instances", "1")]
    [InlineData("""{"instances":0}""", "instances", "0")]
    [InlineData("""{"instances":"2"}""", "instances", "2")] // quoted numbers of 2014
    [InlineData("{}", "cpus", "1")]
    [InlineData("""{"cpus":"0.5"}""", "cpus", "0.5")]
    [InlineData("{}", "mem", "128")]
    [InlineData("""{"mem":"512"}""", "mem", "512")]
    [InlineData("{}", "disk", "0")]
    [InlineData("""{"disk":10.5}""", "disk", "10.5")]
    [InlineData("""{"gpus":0}""", "gpus", "0")]
    [InlineData("""{"executor":"//cmd"}""", "executor", "\"//cmd\"")]
    [InlineData("""{"constraints":[["hostname","unique"],["rack","CLUSTER","r1"]]}""", "constraints", """[["hostname","UNIQUE"],["rack","CLUSTER","r1"]]""")]
    [InlineData("{}", "backoffSeconds", "1")]
    [InlineData("{}", "backoffFactor", "1.15")]
    [InlineData("{}", "maxLaunchDelaySeconds", "300")]
    [InlineData("""{"maxLaunchDelaySeconds":3600}""", "maxLaunchDelaySeconds", "3600")]
    [InlineData("""{"dependencies":["../db","/missing"]}""", "dependencies", """["/db","/missing"]""")]
    [InlineData("""{"labels":{"a":"b"}}""", "labels", """{"a":"b"}""")]
    [InlineData("{}", "networks", """[{"mode":"host"}]""")]
    [InlineData("""{"ports":[]}""", "portDefinitions", "[]")]
    [InlineData("""{"ports":[9000]}""", "portDefinitions", """[{"port":9000,"protocol":"tcp","labels":{}}]""")]
    [InlineData("{}", "portDefinitions", """[{"port":10000,"protocol":"tcp","name":"default","labels":{}}]""")]
    [InlineData("""{"portDefinitions":[{"port":53,"protocol":"udp,tcp","name":"dns"}]}""", "portDefinitions", """[{"port":53,"protocol":"udp,tcp","name":"dns","labels":{}}]""")]
    [InlineData("{}", "requirePorts", "false")]
    [InlineData("""{"acceptedResourceRoles":["*"]}""", "acceptedResourceRoles", """["*"]""")]
    [InlineData("""{"role":"*"}""", "role", "")]
    [InlineData("{}", "upgradeStrategy", """{"minimumHealthCapacity":1,"maximumOverCapacity":1}""")]
    [InlineData("""{"upgradeStrategy":{"minimumHealthCapacity":0.5}}""", "upgradeStrategy", """{"minimumHealthCapacity":0.5,"maximumOverCapacity":1}""")]
    [InlineData("""{"labels":{"MARATHON_SINGLE_INSTANCE_APP":"true"}}""", "upgradeStrategy", """{"minimumHealthCapacity":0,"maximumOverCapacity":0}""")]
    [InlineData("{" + Volume + "}", "upgradeStrategy", """{"minimumHealthCapacity":0.5,"maximumOverCapacity":0}""")]
    [InlineData("""{"taskKillGracePeriodSeconds":20}""", "taskKillGracePeriodSeconds", "20")]
    [InlineData("{}", "killSelection", "\"YOUNGEST_FIRST\"")]
    [InlineData("""{"killSelection":"OLDEST_FIRST"}""", "killSelection", "\"OLDEST_FIRST\"")]
    [InlineData("{}", "unreachableStrategy", """{"inactiveAfterSeconds":0,"expungeAfterSeconds":0}""")]
    [InlineData("""{"unreachableStrategy":"disabled"}""", "unreachableStrategy", "\"disabled\"")]
    [InlineData("{" + Volume + "}", "unreachableStrategy", "\"disabled\"")]
    [InlineData("{" + Volume + ",\"residency\":{}}", "residency", """{"relaunchEscalationTimeoutSeconds":3600,"taskLostBehavior":"WAIT_FOREVER"}""")]
    [InlineData("{" + Volume + ",\"residency\":{\"taskLostBehavior\":\"RELAUNCH_AFTER_TIMEOUT\",\"relaunchEscalationTimeoutSeconds\":10}}", "residency", """{"relaunchEscalationTimeoutSeconds":10,"taskLostBehavior":"RELAUNCH_AFTER_TIMEOUT"}""")]
    [InlineData("""{"tty":true}""", "tty", "true")]
    [InlineData("{}", "tty", "")]
    [InlineData("""{"resourceLimits":{"cpus":"unlimited","mem":256}}""", "resourceLimits", """{"cpus":"unlimited","mem":256}""")]
    [InlineData("""{"executorResources":{"cpus":0.2}}""", "executorResources", """{"cpus":0.2,"mem":32,"disk":10}""")]
    [InlineData("""{"labels":{"DCOS_MIGRATION_API_VERSION":"v1","DCOS_MIGRATION_API_PATH":"/p"}}""", "labels", """{"DCOS_MIGRATION_API_PATH":"/p","DCOS_MIGRATION_API_VERSION":"v1"}""")]
    // 2.2
    [InlineData("""{"container":{"docker":{"image":"web"}}}""", "container/type", "\"DOCKER\"")]
    [InlineData("""{"container":{"type":"MESOS","docker":{"image":"web"}}}""", "container/type", "\"MESOS\"")]
    [InlineData(Docker, "container/docker/privileged", "false")]
    [InlineData(Docker, "container/docker/forcePullImage", "false")]
    [InlineData("""{"container":{"docker":{"image":"web","parameters":{"hostname":"a"}}}}""", "container/docker/parameters", """[{"key":"hostname","value":"a"}]""")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"HOST"}}}""", "networks", """[{"mode":"host"}]""")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"BRIDGE"}}}""", "networks", """[{"mode":"container/bridge"}]""")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"BRIDGE"}}}""", "container/docker/network", "\"BRIDGE\"")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"USER"}},"ipAddress":{"networkName":"dcos"}}""", "networks", """[{"mode":"container","name":"dcos"}]""")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"USER"}},"ipAddress":{"networkName":"dcos"}}""", "container/docker/network", "\"USER\"")]
    [InlineData("""{"container":{"docker":{"image":"web"},"linuxInfo":{}}}""", "container/linuxInfo", "")]
    // 2.3
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"/a","hostPath":"/a"}]}}""", "container/volumes", """[{"containerPath":"/a","hostPath":"/a","mode":"RW"}]""")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"d","persistent":{"size":10.5}}]}}""", "container/volumes", """[{"containerPath":"d","mode":"RW","persistent":{"type":"root","size":10.5}}]""")]
    // 2.4
    [InlineData("""{"networks":[{"mode":"container/bridge"}],"container":{"docker":{"image":"web"}}}""", "container/portMappings", """[{"containerPort":0,"hostPort":0,"servicePort":10000,"protocol":"tcp","name":"default","labels":{}}]""")]
    [InlineData("""{"networks":[{"name":"dcos"}],"container":{"docker":{"image":"web"}}}""", "networks", """[{"mode":"container","name":"dcos"}]""")]
    [InlineData("""{"networks":[{"mode":"container","name":"dcos"}],"container":{"docker":{"image":"web"}}}""", "container/portMappings", """[{"containerPort":0,"servicePort":10000,"protocol":"tcp","name":"default","labels":{}}]""")]
    [InlineData("""{"networks":[{"mode":"container","name":"dcos"}],"container":{"docker":{"image":"web"},"portMappings":[{"containerPort":80},{"containerPort":81,"hostPort":0}]}}""", "container/portMappings/1/hostPort", "0")]
    [InlineData("""{"networks":[{"mode":"container","name":"dcos"}],"container":{"docker":{"image":"web"},"portMappings":[{"containerPort":80},{"containerPort":81,"hostPort":0}]}}""", "container/portMappings/0/hostPort", "")]
    [InlineData("""{"ipAddress":{"networkName":"dcos"},"container":{"docker":{"image":"web"}}}""", "networks", """[{"mode":"container","name":"dcos"}]""")]
    [InlineData("""{"networks":[{"mode":"container/bridge"}],"container":{"docker":{"image":"web"},"portMappings":[]}}""", "container/portMappings", "[]")]
    // 2.6
    [InlineData("""{"healthChecks":[{}]}""", "healthChecks/0", """{"protocol":"HTTP","path":"/","portIndex":0,"gracePeriodSeconds":300,"intervalSeconds":60,"timeoutSeconds":20,"maxConsecutiveFailures":3,"delaySeconds":15,"ignoreHttp1xx":false}""")]
    [InlineData("""{"healthChecks":[{"protocol":"COMMAND","command":{"value":"true"}}]}""", "healthChecks/0/command", """{"value":"true"}""")]
    [InlineData("""{"healthChecks":[{"protocol":"MESOS_HTTPS","port":8443}]}""", "healthChecks/0/port", "8443")]
    [InlineData("""{"healthChecks":[{"protocol":"tcp","ipProtocol":"IPv4"}]}""", "healthChecks/0/protocol", "\"TCP\"")]
    public async Task A_field_is_shown_as_it_counts(string written, string where, string shown)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        (await world.PostAsync("/v2/apps", BodyOf(written))).Must(HttpStatusCode.Created);
        var app = (await world.GetAsync("/v2/apps/x")).Must(HttpStatusCode.OK).Json["app"];
        Assert.Equal(Plain(shown.Length == 0 ? null : JsonNode.Parse(shown)), Plain(At(app, where)));
        // What was read can be sent back, but for its version, and changes nothing.
        var version = app!["version"]!.GetValue<string>();
        app.AsObject().Remove("version");
        (await world.PutAsync("/v2/apps/x", app.ToJsonString())).Must(HttpStatusCode.OK);
        Assert.Equal(version, (await world.GetAsync("/v2/apps/x")).Json["app"]!["version"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("""{"id":"Upper"}""", "/id", "")]
    [InlineData("""{"cmd":"x"}""", "/cmd", "must not be an empty string")]
    [InlineData("""{"args":["a"]}""", "/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.")]
    [InlineData("""{"user":""}""", "/user", "must not be an empty string")]
    [InlineData("""{"env":{"":"1"}}""", "/env", "must not have a variable without a name")]
    [InlineData("""{"instances":-1}""", "/instances", "error.min")]
    [InlineData("""{"instances":1.5}""", "/instances", "error.expected.jsnumber/int")]
    [InlineData("""{"cpus":-0.1}""", "/cpus", "error.min")]
    [InlineData("""{"mem":"much"}""", "/mem", "error.expected.jsnumber")]
    [InlineData("""{"disk":-1}""", "/disk", "error.min")]
    [InlineData("""{"gpus":1}""", "/gpus", "GPUs are not scheduled")]
    [InlineData("""{"executor":"/bin/custom"}""", "/executor", "only the command executor")]
    [InlineData("""{"constraints":[["hostname","NEAR"]]}""", "/constraints(0)", "operator must be one of the following")]
    [InlineData("""{"backoffSeconds":-1}""", "/backoffSeconds", "error.min")]
    [InlineData("""{"backoffFactor":0.9}""", "/backoffFactor", "error.min")]
    [InlineData("""{"maxLaunchDelaySeconds":-1}""", "/maxLaunchDelaySeconds", "error.min")]
    [InlineData("""{"ports":[80,80]}""", "/ports", "Ports must be unique.")]
    [InlineData("""{"portDefinitions":[8080]}""", "/portDefinitions(0)", "error.expected.jsobject")]
    [InlineData("""{"ports":[1],"portDefinitions":[{"port":2}]}""", "/ports", "must agree with portDefinitions")]
    [InlineData("""{"acceptedResourceRoles":[]}""", "/acceptedResourceRoles", "must not be empty")]
    [InlineData("""{"acceptedResourceRoles":["slave"]}""", "/acceptedResourceRoles", "there is only the role '*'")]
    [InlineData("""{"role":"slave"}""", "/role", "there is only the role '*'")]
    [InlineData("""{"upgradeStrategy":{"minimumHealthCapacity":1.1}}""", "/upgradeStrategy/minimumHealthCapacity", "is not between 0.0 and 1.0")]
    [InlineData("""{"instances":2,"labels":{"MARATHON_SINGLE_INSTANCE_APP":"true"}}""", "/instances", "Single instance app may only have one instance")]
    [InlineData("""{"labels":{"DCOS_MIGRATION_API_VERSION":"v1"}}""", "/labels", "must be given together")]
    [InlineData("""{"taskKillGracePeriodSeconds":-1}""", "/taskKillGracePeriodSeconds", "error.min")]
    [InlineData("""{"killSelection":"ANY"}""", "/killSelection", "error.unknown.enum.literal")]
    [InlineData("""{"unreachableStrategy":{"inactiveAfterSeconds":2,"expungeAfterSeconds":1}}""", "/unreachableStrategy", "inactiveAfterSeconds must be less than or equal to expungeAfterSeconds")]
    [InlineData("{" + Volume + ",\"unreachableStrategy\":{\"inactiveAfterSeconds\":0,\"expungeAfterSeconds\":0}}", "/unreachableStrategy", "unreachableStrategy must be disabled for resident tasks")]
    [InlineData("""{"residency":{}}""", "/residency", "AppDefinition must contain persistent volumes and define residency")]
    [InlineData("""{"tty":"yes"}""", "/tty", "error.expected.jsboolean")]
    [InlineData("""{"resourceLimits":{"cpus":0.5}}""", "/resourceLimits/cpus", "must be \"unlimited\" or at least the app's cpus")]
    [InlineData("""{"resourceLimits":{"mem":"more"}}""", "/resourceLimits/mem", "error.expected.jsnumber")]
    [InlineData("""{"check":{"tcp":{"port":1}}}""", "/check", "generic checks are not run")]
    [InlineData("""{"container":{"type":"DOCKER"}}""", "/container/docker", "must be given for a container of type DOCKER")]
    [InlineData("""{"container":{"docker":{"image":""}}}""", "/container/docker/image", "error.minLength")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"NONE"}}}""", "/container/docker/network", "NONE is no longer supported")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"USER"}}}""", "/ipAddress/networkName", "Network name must be specified when container network is selected.")]
    [InlineData("""{"container":{"docker":{"image":"web","network":"BRIDGE"}},"networks":[{"mode":"host"}]}""", "/container/docker/network", "must not specify both container.docker.network and networks")]
    [InlineData("""{"container":{"docker":{"image":"web","pullConfig":{"secret":"s"}}}}""", "/container/docker/pullConfig", "log its Docker in")]
    [InlineData("""{"container":{"docker":{"image":"web","credential":{"principal":"p"}}}}""", "/container/docker/credential", "must be empty")]
    [InlineData("""{"container":{"type":"MESOS","docker":{"image":"web","parameters":[{"key":"a","value":"b"}]}}}""", "/container/docker/parameters", "must not be given for a container of type MESOS")]
    [InlineData("""{"container":{"docker":{"image":"web"},"linuxInfo":{"ipcInfo":{}}}}""", "/container/linuxInfo", "Docker's defaults")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"","hostPath":"/a"}]}}""", "/container/volumes(0)/containerPath", "error.minLength")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a/b","persistent":{"size":1}}]}}""", "/container/volumes(0)/containerPath", "must be one path segment")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"..","persistent":{"size":1}}]}}""", "/container/volumes(0)/containerPath", "must be one path segment")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a","persistent":{"size":0}}]}}""", "/container/volumes(0)/persistent/size", "must be greater than 0")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a","persistent":{}}]}}""", "/container/volumes(0)/persistent/size", "error.path.missing")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a","persistent":{"type":"mount","size":1}}]}}""", "/container/volumes(0)/persistent/type", "only disks of type root exist")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a","persistent":{"size":1,"maxSize":2}}]}}""", "/container/volumes(0)/persistent/maxSize", "Only mount volumes can have maxSize")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a","persistent":{"size":1,"constraints":[["path","LIKE","x"]]}}]}}""", "/container/volumes(0)/persistent/constraints", "Constraints on root volumes are not supported")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a","mode":"RO","persistent":{"size":1}}]}}""", "/container/volumes(0)/mode", "a persistent volume has the mode RW")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"a","mode":"RW","external":{"provider":"dvdi","name":"v"}}]}}""", "/container/volumes(0)", "only host volumes")]
    [InlineData("""{"networks":[{"mode":"container"}],"container":{"docker":{"image":"web"}}}""", "/networks(0)", "Network name must be specified when container network is selected.")]
    [InlineData("""{"networks":[{"mode":"container/bridge","name":"a"}],"container":{"docker":{"image":"web"}}}""", "/networks(0)/name", "Bridge networks may not have names")]
    [InlineData("""{"networks":[{"name":"a"},{"name":"b"}],"container":{"docker":{"image":"web"}}}""", "/networks", "a container joins one network")]
    [InlineData("""{"networks":[{"name":"a"},{"name":"a"}],"container":{"docker":{"image":"web"}}}""", "/networks", "network names must be unique")]
    [InlineData("""{"networks":[{"name":"host"}],"container":{"docker":{"image":"web"}}}""", "/networks(0)/name", "must be the name of a Docker network")]
    [InlineData("""{"networks":[{"name":"a"}]}""", "/container", "container networking needs a container with an image")]
    [InlineData("""{"ipAddress":{}}""", "/ipAddress/networkName", "Network name must be specified when container network is selected.")]
    [InlineData("""{"container":{"docker":{"image":"web"},"portMappings":[{"containerPort":1}]}}""", "/container/portMappings", "portMappings are not allowed with host-networking")]
    [InlineData("""{"networks":[{"mode":"container/bridge"}],"portDefinitions":[{"port":1}],"container":{"docker":{"image":"web"}}}""", "/portDefinitions", "portDefinitions are only allowed with host-networking")]
    [InlineData("""{"healthChecks":[{"portIndex":7}]}""", "/healthChecks(0)/portIndex", "Health check port indices must address an element of the ports array or container port mappings.")]
    [InlineData("""{"healthChecks":[{"protocol":"COMMAND"}]}""", "/healthChecks(0)/command", "must be given for protocol COMMAND")]
    [InlineData("""{"healthChecks":[{"ipProtocol":"IPv6"}]}""", "/healthChecks(0)/ipProtocol", "health checks use IPv4")]
    [InlineData("""{"healthChecks":[{"protocol":"MESOS_TCP"},{"protocol":"MESOS_HTTP"}]}""", "/healthChecks", "AppDefinition can contain at most one Mesos health check")]
    [InlineData("""{"healthChecks":[{"maxConsecutiveFailures":-1}]}""", "/healthChecks(0)/maxConsecutiveFailures", "error.min")]
    public async Task What_cannot_be_is_refused_with_its_place_and_reason(string written, string path, string reason)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var refusal = (await world.PostAsync("/v2/apps", BodyOf(written))).Must(HttpStatusCode.UnprocessableEntity).Json;
        var place = Assert.Single(refusal["details"]!.AsArray(), d => d!["path"]!.GetValue<string>() == path);
        Assert.Contains(place!["errors"]!.AsArray(), e => e!.GetValue<string>().Contains(reason, StringComparison.Ordinal));
        Assert.Equal(HttpStatusCode.NotFound, (await world.GetAsync("/v2/apps/x")).Status);
    }

    private static string BodyOf(string written)
    {
        var body = new JsonObject { ["id"] = "/x", ["cmd"] = "sleep 60" };
        foreach (var (name, value) in JsonNode.Parse(written)!.AsObject()) body[name] = value?.DeepClone();
        return body.ToJsonString();
    }

    private static JsonNode? At(JsonNode? node, string where) => where.Split('/').Aggregate(node, (at, step) => at switch
    {
        JsonArray list => list[int.Parse(step, System.Globalization.CultureInfo.InvariantCulture)],
        null => null,
        _ => at[step],
    });

    private static string Plain(JsonNode? node) => node?.ToJsonString() ?? "nothing";
}
