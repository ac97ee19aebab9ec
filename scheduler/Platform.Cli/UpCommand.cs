using System.CommandLine;
using Microsoft.Extensions.Configuration;

namespace Platform.Cli;

/// <summary>The flags of <c>platform up</c>, <c>scheduler</c> and <c>node</c>. What a flag does not say is taken from PLATFORM_… in the environment, then from the settings file.</summary>
internal static class UpCommand
{
    private static readonly (string Name, string What)[] Flags =
    [
        ("data", "Where everything is kept (default /var/lib/platform, or the user's own data folder)"),
        ("api", "REST API, event stream (default 127.0.0.1:8080)"),
        ("dns", "DNS, UDP and TCP (default 127.0.0.1:53)"),
        ("kv", "Consul's API: KV, catalog, health, agent (default 127.0.0.1:8500)"),
        ("edge", "Edge proxy by host name; its address also serves the service ports (default 127.0.0.1:80)"),
        ("admin", "Node administration: health, routes, statistics, revisions (default 127.0.0.1:9090)"),
        ("node-name", "This node's name, what constraints call hostname (default: the machine's)"),
        ("node-address", "Where task ports are published and the proxy is reached (default: the node's own Docker bridge, or 127.0.0.1)"),
        ("task-ports", "Host ports for tasks (default 31000-32000)"),
        ("service-ports", "Service ports to give to apps (default 10000-20000)"),
        ("domain", "Where apps are named in DNS (default marathon.mesos)"),
        ("task-launch-timeout", "Seconds after which a task that is staged and not running is killed, and counts as failed (default 300)"),
        ("task-launch-confirm-timeout", "Seconds after which a task that its node has never confirmed is given up and launched anew (default 300)"),
        ("artifact-quota", "How much the artifact store may hold (default 10GiB)"),
        ("fetch-cache", "How much this node keeps of fetched artifacts that ask for it (default 2GiB)"),
        ("secrets-key", "The key file of the secret store (default secrets.key in the data directory, made when the first secret comes)"),
        ("runtime", "docker, process or auto (default auto: what there is)"),
        ("consul", "Somebody else's Consul, such as http://127.0.0.1:8500: nodes, services and keys are published there, and the KV door leads there"),
        ("consul-token", "The token for it (better in PLATFORM_CONSUL_TOKEN: other users see flags)"),
        ("http-credentials", "USER:PASSWORD that the REST door asks for (better in PLATFORM_HTTP_CREDENTIALS: other users see flags)"),
        ("http-realm", "What the REST door calls itself when it asks for them (default Mesosphere)"),
        ("http-max-concurrent-requests", "More requests at a time than these are answered 503 (default: as many as come)"),
        ("access-control-allow-origin", "Origins, with commas between, whose pages may read the REST door's answers; * = all"),
        ("deploy-timeout", "Give a deployment up after this time, such as 10m, unless its apps say otherwise (default: never)"),
        ("auto-rollback", "true: undo a deployment that is given up, unless its apps say otherwise (default false)"),
    ];

    public static Command Make(string name, string what, Roles role, Func<UpOptions, CancellationToken, Task<int>> run)
    {
        var command = new Command(name, what);
        var options = Flags.Concat(RoleFlags.OfCluster).Where(f => RoleFlags.IsOf(f.Name, role)).Select(f => new Option<string?>($"--{f.Name}") { Description = f.What }).ToList();
        var attributes = new Option<string[]>("--attribute") { Description = "NAME=VALUE: what constraints may ask of this node, such as rack=r1; may be repeated", Arity = ArgumentArity.OneOrMore };
        var stopTasks = new Option<bool>("--stop-tasks-on-exit") { Description = "Stop and remove this node's tasks at the end; otherwise they outlive the platform" };
        var insecure = new Option<bool>("--insecure") { Description = "Allow --api, --kv and --admin on addresses other than loopback, where anybody may use them" };
        var settings = new Option<string?>("--settings") { Description = "A JSON file with the same names as the flags" };
        var forbidPrivate = new Option<bool>("--fetch-forbid-private") { Description = "Fetch no artifact from private, local or link-local addresses; the platform's own store is exempt" };
        foreach (var option in options) command.Options.Add(option);
        command.Options.Add(forbidPrivate);
        if (role.HasFlag(Roles.Node)) command.Options.Add(stopTasks);
        if (role.HasFlag(Roles.Node)) command.Options.Add(attributes);
        command.Options.Add(insecure);
        command.Options.Add(settings);
        command.SetAction((parsed, stopping) =>
        {
            var layers = Layers(parsed.GetValue(settings), role);
            string? Text(string name) =>
                name == "stop-tasks-on-exit" && parsed.GetValue(stopTasks) || name == "fetch-forbid-private" && parsed.GetValue(forbidPrivate) || name == "insecure" && parsed.GetValue(insecure) ? "true"
                : name == "attribute" && parsed.GetValue(attributes) is { Length: > 0 } named ? string.Join(',', named)
                : options.Find(o => o.Name == $"--{name}") is { } option && parsed.GetValue(option) is { } said ? said : layers[name];
            return run(UpOptions.Parse(Text, role), stopping);
        });
        return command;
    }

    private static IConfiguration Layers(string? settingsFile, Roles role)
    {
        var known = Flags.Concat(RoleFlags.OfCluster).Select(f => f.Name).Append("stop-tasks-on-exit").Append("attribute").Append("fetch-forbid-private").Append("insecure").Where(name => RoleFlags.IsOf(name, role)).ToHashSet();
        var builder = new ConfigurationBuilder();
        if (settingsFile is not null)
        {
            if (!File.Exists(settingsFile)) throw new BadOptionException($"--settings {settingsFile}: there is no such file");
            builder.AddJsonFile(Path.GetFullPath(settingsFile));
            var strangers = new ConfigurationBuilder().AddJsonFile(Path.GetFullPath(settingsFile)).Build().GetChildren()
                .Select(c => c.Key).Where(k => !known.Contains(k)).ToList();
            if (strangers.Count > 0) throw new BadOptionException($"--settings {settingsFile}: there is no setting {string.Join(", ", strangers)}");
        }
        builder.AddInMemoryCollection(known.Select(name => KeyValuePair.Create(
            name, Environment.GetEnvironmentVariable("PLATFORM_" + name.Replace('-', '_').ToUpperInvariant()))).Where(x => x.Value is not null));
        return builder.Build();
    }
}
