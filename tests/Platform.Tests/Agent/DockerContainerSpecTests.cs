using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using Platform.Agent.Docker;
using Platform.Model;

namespace Platform.Tests.Agent;

public sealed class DockerContainerSpecTests
{
    private static readonly DockerSite Site = new("c1c1c1c1c1", NodeId.Parse("n1"), "10.0.0.1", "platform-c1c1c1c1-n1", "172.18.0.1");
    private static readonly JsonSerializerOptions Pretty = new() { WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static Assignment Bridge(params DockerParameter[] parameters) => AgentWorld.Assign(1, app: x => x with
    {
        Cmd = "exec httpd -p $PORT0",
        Resources = new Resources(0.5, 64, 0),
        User = "www",
        Container = x.Container! with
        {
            PortMappings =
            [
                new PortMapping(80, 0, 10000, "tcp", "http", EquatableMap.Empty),
                new PortMapping(0, 0, 10001, "udp,tcp", null, EquatableMap.Empty),
                new PortMapping(9090, null, 10002, "tcp", null, EquatableMap.Empty),
            ],
            Volumes = [new HostVolume("/data", "/srv/data", false), new HostVolume("/etc/x", "/srv/x", true)],
            Parameters = parameters.ToEquatableArray(),
        },
    }) with { HostPorts = [31000, 31001, 0], Env = EquatableMap.From([new("PORT0", "31000"), new("HOST", "n1")]) };

    private static (global::Docker.DotNet.Models.CreateContainerParameters? Spec, EquatableArray<string> Problems) SpecOf(Assignment assignment, DockerSite site) =>
        DockerContainerSpec.Of(assignment, site, uuid => $"/var/lib/platform/volumes/{uuid}");

    [Fact]
    public void A_persistent_volume_is_found_in_the_sandbox() => Assert.Equal(
        "/var/lib/platform/volumes/0f0e:/mnt/mesos/sandbox/data:rw",
        SpecOf(Bridge() with { Volumes = [new LocalVolume("data", "0f0e", 10)] }, Site).Spec!.HostConfig!.Binds![^1]);

    [Fact]
    public void Bridge_Golden() => Golden("bridge", SpecOf(Bridge(), Site).Spec!);

    [Fact]
    public void ArtifactsAndSecrets_Golden() => Golden("artifacts-and-secrets", SpecOf(AgentWorld.Assign(3, app: x => x with
    {
        Cmd = "run",
        Fetch = [FetchUri.Of("http://h/a.tgz")],
        Container = x.Container! with { PortMappings = default },
    }) with { Secrets = new RevealedSecrets(EquatableMap.From([new("DB", "s3cret")]), EquatableMap.From([new("/etc/key", "k"), new("in/sandbox", "l")]), default) }, Site).Spec!);

    [Fact]
    public void Host_Golden() => Golden("host", SpecOf(AgentWorld.Assign(2, app: x => x with
    {
        Network = NetworkMode.Host,
        Args = ["-v", "$NOT_EXPANDED"],
        Resources = new Resources(0, 1, 0),
        Container = x.Container! with { PortMappings = default, Privileged = true },
    }), Site).Spec!);

    [Fact]
    public void EveryParameter_Golden() => Golden("parameters", SpecOf(Bridge(
        new("add-host", "db:10.1.1.1"), new("cap-add", "NET_ADMIN"), new("cap-drop", "ALL"), new("device", "/dev/fuse:/dev/fuse:rw"), new("dns", "9.9.9.9"),
        new("dns-search", "marathon.mesos"), new("env", "PORT0=1=2"), new("hostname", "h1"), new("init", "true"), new("ipc", "host"), new("label", "team=a"),
        new("log-opt", "max-size=1m"), new("log-driver", "local"), new("memory-swap", "128m"), new("pid", "host"), new("read-only", ""), new("security-opt", "seccomp=unconfined"),
        new("shm-size", "1g"), new("sysctl", "net.core.somaxconn=1024"), new("tmpfs", "/run:size=1m"), new("ulimit", "nofile=1024:2048"), new("user", "1000:1000"),
        new("volume", "/a:/b:ro"), new("workdir", "/w")), Site).Spec!);

    [Fact]
    public void BadParameters_AreAllTold()
    {
        var (spec, problems) = SpecOf(Bridge(new("restart", "always"), new("frob", "1"), new("memory-swap", "much"), new("ulimit", "nofile"), new("label", "platform.node=x"), new("entrypoint", "/x"), new("env", "X")), Site);
        Assert.Null(spec);
        Assert.Equal(
        [
            "docker parameter 'restart' is refused: the scheduler restarts tasks, the engine must not",
            "docker parameter 'frob' is not one this platform passes on",
            "docker parameter 'memory-swap' must be a size such as 64m",
            "docker parameter 'ulimit' must have the form NAME=SOFT[:HARD]",
            "docker parameter 'label' must not set labels of the platform",
            "docker parameter 'entrypoint' goes with 'args' only: 'cmd' is run by /bin/sh",
            "docker parameter 'env' must have the form NAME=VALUE",
        ], problems);
    }

    private static void Golden(string name, object actual, [CallerFilePath] string here = "")
    {
        var path = Path.Combine(Path.GetDirectoryName(here)!, "..", "Golden", "agent", $"container-{name}.json");
        var json = JsonSerializer.Serialize(actual, Pretty) + "\n";
        if (Environment.GetEnvironmentVariable("PLATFORM_UPDATE_GOLDEN") == "1") File.WriteAllText(path, json);
        Assert.Equal(File.ReadAllText(path), json);
    }
}
