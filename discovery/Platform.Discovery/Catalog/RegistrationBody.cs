using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>Why a body cannot be, in the status and the words that Consul has for it.</summary>
public sealed record BodyRefusal(int Status, string Text);

/// <summary>
/// The bodies of registrations as changes of the registry. Members are found whatever their capitals and underscores, as Go's decoder and Consul's
/// own renaming find them. Checks of kinds that are not run here are refused, not accepted and forgotten.
/// </summary>
public static class RegistrationBody
{
    public const int TextLengthMax = 4096;

    private const string NotRun = "checks are not run here: HTTP, TCP and TTL are";

    private static readonly (string Member, string Kind)[] Strangers =
    [
        ("Args", "Script"), ("Script", "Script"), ("DockerContainerID", "Docker"), ("GRPC", "gRPC"), ("UDP", "UDP"), ("H2PING", "HTTP/2"), ("AliasNode", "Alias"), ("AliasService", "Alias"),
    ];

    /// <summary><c>/v1/agent/service/register</c>.</summary>
    public static bool TryService(JsonElement body, string node, bool replaceChecks, [NotNullWhen(true)] out List<RegistryChange>? changes, [NotNullWhen(false)] out BodyRefusal? why) =>
        Try(() =>
        {
            var name = Text(body, "Name");
            if (name.Length == 0) throw Bad(400, "Missing service name");
            var id = Text(body, "ID") is { Length: > 0 } said ? said : name;
            var made = new List<RegistryChange> { new RegistryChange.InstanceSet(Instance(body, node, id, name), replaceChecks) };
            var bodies = Many(body, "Checks").ToList();
            if (Member(body, "Check") is { ValueKind: JsonValueKind.Object } single) bodies.Insert(0, single);
            bodies.RemoveAll(x => !x.EnumerateObject().Any());
            for (var i = 0; i < bodies.Count; i++)
                made.Add(Check(bodies[i], node, id, bodies.Count > 1 ? $"service:{id}:{i + 1}" : $"service:{id}", $"Service '{name}' check"));
            return made;
        }, out changes, out why);

    /// <summary><c>/v1/agent/check/register</c>.</summary>
    public static bool TryCheck(JsonElement body, string node, [NotNullWhen(true)] out List<RegistryChange>? changes, [NotNullWhen(false)] out BodyRefusal? why) =>
        Try(() =>
        {
            var name = Text(body, "Name");
            if (name.Length == 0) throw Bad(400, "Missing check name");
            return [Check(body, node, Text(body, "ServiceID"), name, name)];
        }, out changes, out why);

    /// <summary><c>/v1/catalog/register</c>: somebody else knows how it stands, and says so.</summary>
    public static bool TryCatalog(JsonElement body, Func<string, bool> isNode, [NotNullWhen(true)] out List<RegistryChange>? changes, [NotNullWhen(false)] out BodyRefusal? why) =>
        Try(() =>
        {
            var (node, address) = (Text(body, "Node"), Text(body, "Address"));
            if (node.Length == 0) throw Bad(500, "Must provide node");
            if (address.Length == 0 && !Flag(body, "SkipNodeUpdate")) throw Bad(500, "Must provide address if SkipNodeUpdate is not set");
            var made = new List<RegistryChange>();
            if (!isNode(node) && !Flag(body, "SkipNodeUpdate")) made.Add(new RegistryChange.NodeSet(new RegisteredNode(node, Text(body, "ID"), address, Map(body, "NodeMeta")) { TaggedAddresses = Map(body, "TaggedAddresses") }));
            if (Member(body, "Service") is { ValueKind: JsonValueKind.Object } service)
            {
                var name = Text(service, "Service");
                if (name.Length == 0) throw Bad(500, "Must provide service name");
                made.Add(new RegistryChange.InstanceSet(Instance(service, node, Text(service, "ID") is { Length: > 0 } id ? id : name, name), false));
            }
            var checks = Many(body, "Checks").ToList();
            if (Member(body, "Check") is { ValueKind: JsonValueKind.Object } single) checks.Add(single);
            made.AddRange(checks.Select(x => Stated(x, node)));
            return made;
        }, out changes, out why);

    /// <summary><c>/v1/catalog/deregister</c>.</summary>
    public static bool TryDeregister(JsonElement body, [NotNullWhen(true)] out List<RegistryChange>? changes, [NotNullWhen(false)] out BodyRefusal? why) =>
        Try(() =>
        {
            var node = Text(body, "Node");
            if (node.Length == 0) throw Bad(500, "Must provide node");
            return
            [
                Text(body, "ServiceID") is { Length: > 0 } service ? new RegistryChange.InstanceRemoved(node, service)
                : Text(body, "CheckID") is { Length: > 0 } check ? new RegistryChange.CheckRemoved(node, check)
                : new RegistryChange.NodeRemoved(node),
            ];
        }, out changes, out why);

    /// <summary><c>/v1/agent/check/update</c>.</summary>
    public static bool TryStatus(JsonElement body, out CheckStatus status, out string output, [NotNullWhen(false)] out BodyRefusal? why)
    {
        var word = "";
        (status, output, why) = (default, "", null);
        try
        {
            (word, output) = (Text(body, "Status"), Cut(Text(body, "Output")));
        }
        catch (FormatException e)
        {
            why = new BodyRefusal(400, e.Message);
            return false;
        }
        if (CatalogCheck.StatusOf(word) is { } known)
        {
            status = known;
            return true;
        }
        why = new BodyRefusal(400, $"Invalid check status: '{word}'");
        return false;
    }

    /// <summary>Bounds what is kept of an output.</summary>
    public static string Cut(string output) => output.Length <= TextLengthMax ? output : output[..TextLengthMax];

    private static RegisteredInstance Instance(JsonElement body, string node, string id, string name)
    {
        if (Member(body, "Proxy") is { ValueKind: JsonValueKind.Object } proxy && proxy.EnumerateObject().Any(x => x.Value.ValueKind is not (JsonValueKind.Null or JsonValueKind.Object)))
            throw Bad(400, "Invalid service: there is no mesh here, so no proxies of one");
        var port = Number(body, "Port");
        if (port is < 0 or > 65535) throw Bad(400, $"Invalid port: {port}");
        var weights = Member(body, "Weights");
        return new RegisteredInstance(node, Bounded(id), Bounded(name))
        {
            Tags = Many(body, "Tags").Select(x => Bounded(x.GetString() ?? "")).ToEquatableArray(),
            Meta = Map(body, "Meta"),
            Address = Bounded(Text(body, "Address")),
            Port = (int)port,
            EnableTagOverride = Flag(body, "EnableTagOverride"),
            WeightPassing = weights is { ValueKind: JsonValueKind.Object } w ? (int)Math.Max(1, Number(w, "Passing")) : 1,
            WeightWarning = weights is { ValueKind: JsonValueKind.Object } v ? (int)Math.Max(1, Number(v, "Warning")) : 1,
        };
    }

    private static RegistryChange.CheckSet Check(JsonElement body, string node, string service, string idOtherwise, string nameOtherwise)
    {
        foreach (var (member, kind) in Strangers)
            if (Member(body, member) is { } there && there.ValueKind is not (JsonValueKind.Null or JsonValueKind.False) && !(there.ValueKind == JsonValueKind.String && there.GetString()!.Length == 0))
                throw Bad(400, $"Invalid check: {kind} {NotRun}");
        var id = Text(body, "CheckID") is { Length: > 0 } said ? said : Text(body, "ID") is { Length: > 0 } other ? other : idOtherwise;
        var status = CheckStatus.Critical;
        var word = Text(body, "Status");
        if (word.Length > 0) status = CatalogCheck.StatusOf(word) ?? throw Bad(400, "Bad check status");
        return new RegistryChange.CheckSet(
            new RegisteredCheck(node, Bounded(id), Bounded(Text(body, "Name") is { Length: > 0 } name ? name : nameOtherwise), service, status)
            {
                Notes = Bounded(Text(body, "Notes")), Definition = Definition(body),
            },
            KeepStatus: word.Length == 0);
    }

    private static CheckDefinition Definition(JsonElement body)
    {
        var (http, tcp) = (Text(body, "HTTP"), Text(body, "TCP"));
        var (interval, ttl) = (Duration(body, "Interval"), Duration(body, "TTL"));
        var made = new CheckDefinition(http.Length > 0 ? CheckKind.Http : tcp.Length > 0 ? CheckKind.Tcp : CheckKind.Ttl)
        {
            Target = http.Length > 0 ? http : tcp,
            Method = Text(body, "Method") is { Length: > 0 } method ? method : "GET",
            Headers = Headers(body),
            Body = Text(body, "Body"),
            SkipTlsVerify = Flag(body, "TLSSkipVerify"),
            Interval = interval,
            Ttl = ttl,
            Timeout = Duration(body, "Timeout") is { Ticks: > 0 } timeout ? timeout : TimeSpan.FromSeconds(10),
            SuccessBeforePassing = (int)Math.Clamp(Number(body, "SuccessBeforePassing"), 0, 1000),
            FailuresBeforeCritical = (int)Math.Clamp(Number(body, "FailuresBeforeCritical"), 0, 1000),
            // Consul takes no less than a minute, silently.
            DeregisterAfter = Duration(body, "DeregisterCriticalServiceAfter") is { Ticks: > 0 } after ? after < TimeSpan.FromMinutes(1) ? TimeSpan.FromMinutes(1) : after : null,
        };
        if (interval > TimeSpan.Zero && ttl > TimeSpan.Zero) throw Bad(400, "Invalid check: Interval and TTL cannot both be specified");
        if (made.Kind == CheckKind.Ttl && ttl <= TimeSpan.Zero) throw Bad(400, "Invalid check: TTL must be > 0 for TTL checks");
        if (made.Kind != CheckKind.Ttl && interval <= TimeSpan.Zero) throw Bad(400, "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks");
        if (made.Kind == CheckKind.Http && !(Uri.TryCreate(http, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https")) throw Bad(400, $"Invalid check: {http} is no http or https URL");
        if (made.Kind == CheckKind.Tcp && !(Uri.TryCreate($"tcp://{tcp}", UriKind.Absolute, out var end) && end.Port > 0)) throw Bad(400, $"Invalid check: {tcp} is no host and port");
        return made with { Interval = made.Kind != CheckKind.Ttl && interval < TimeSpan.FromSeconds(1) ? TimeSpan.FromSeconds(1) : interval }; // Consul's least
    }

    /// <summary>A check whose status is somebody else's to find out.</summary>
    private static RegistryChange.CheckSet Stated(JsonElement body, string node)
    {
        var (id, name, word) = (Text(body, "CheckID"), Text(body, "Name"), Text(body, "Status"));
        if (id.Length == 0) id = name;
        if (id.Length == 0) throw Bad(500, "Must provide a check's ID or name");
        return new RegistryChange.CheckSet(
            new RegisteredCheck(node, Bounded(id), Bounded(name), Text(body, "ServiceID"), word.Length == 0 ? CheckStatus.Critical : CatalogCheck.StatusOf(word) ?? throw Bad(400, "Bad check status"))
            {
                Notes = Bounded(Text(body, "Notes")), Output = Cut(Text(body, "Output")),
            },
            KeepStatus: false);
    }

    private static EquatableMap Headers(JsonElement body) => Member(body, "Header") is { ValueKind: JsonValueKind.Object } headers
        ? EquatableMap.From(headers.EnumerateObject().Select(x => KeyValuePair.Create(Bounded(x.Name), x.Value.ValueKind == JsonValueKind.Array ? string.Join(", ", x.Value.EnumerateArray().Select(v => v.GetString())) : x.Value.GetString() ?? "")))
        : EquatableMap.Empty;

    private static string Bounded(string text) => text.Length <= TextLengthMax ? text : throw Bad(400, $"Invalid text: longer than {TextLengthMax} characters");

    private static JsonElement? Member(JsonElement body, string name)
    {
        foreach (var member in body.EnumerateObject())
            if (member.Name.Replace("_", "", StringComparison.Ordinal).Equals(name, StringComparison.OrdinalIgnoreCase)) return member.Value;
        return null;
    }

    private static string Text(JsonElement body, string name) => Member(body, name) switch
    {
        null or { ValueKind: JsonValueKind.Null } => "",
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        { } other => throw Bad(400, $"Request decode failed: cannot take {other.ValueKind.ToString().ToLowerInvariant()} as the text {name}"),
    };

    private static long Number(JsonElement body, string name) => Member(body, name) switch
    {
        null or { ValueKind: JsonValueKind.Null } => 0,
        { ValueKind: JsonValueKind.Number } number when number.TryGetInt64(out var whole) => whole,
        { } other => throw Bad(400, $"Request decode failed: cannot take {other.ValueKind.ToString().ToLowerInvariant()} as the number {name}"),
    };

    private static bool Flag(JsonElement body, string name) => Member(body, name) is { ValueKind: JsonValueKind.True };

    private static TimeSpan Duration(JsonElement body, string name)
    {
        if (Member(body, name) is not { ValueKind: not JsonValueKind.Null } said) return TimeSpan.Zero;
        if (said.ValueKind == JsonValueKind.Number && said.TryGetInt64(out var nanoseconds)) return TimeSpan.FromTicks(nanoseconds / 100);
        var text = said.ValueKind == JsonValueKind.String ? said.GetString()! : "?";
        return text.Length == 0 ? TimeSpan.Zero : KvAnswers.TryParseDuration(text, out var span) ? span : throw Bad(400, $"Request decode failed: time: invalid duration {text}");
    }

    private static IEnumerable<JsonElement> Many(JsonElement body, string name) => Member(body, name) is { ValueKind: JsonValueKind.Array } many ? many.EnumerateArray() : [];

    private static EquatableMap Map(JsonElement body, string name) => Member(body, name) is { ValueKind: JsonValueKind.Object } map
        ? EquatableMap.From(map.EnumerateObject().Select(x => KeyValuePair.Create(Bounded(x.Name), Bounded(x.Value.GetString() ?? ""))))
        : EquatableMap.Empty;

    private static BodyException Bad(int status, string text) => new(status, text);

    private sealed class BodyException(int status, string text) : FormatException(text)
    {
        public int Status => status;
    }

    private static bool Try(Func<List<RegistryChange>> make, [NotNullWhen(true)] out List<RegistryChange>? changes, [NotNullWhen(false)] out BodyRefusal? why)
    {
        (changes, why) = (null, null);
        try
        {
            changes = make();
            return true;
        }
        catch (BodyException e)
        {
            why = new BodyRefusal(e.Status, e.Message);
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException) // of another kind than it should be, or twice
        {
            why = new BodyRefusal(400, $"Request decode failed: {e.Message}");
        }
        return false;
    }
}
