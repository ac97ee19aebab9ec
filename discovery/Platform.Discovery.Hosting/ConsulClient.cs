using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Where somebody else's Consul is, and the token it asks of us.</summary>
public sealed record ConsulAddress(Uri Uri, string? Token)
{
    /// <summary>An http or https URL without a path.</summary>
    public static bool TryParse(string text, string? token, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ConsulAddress? address)
    {
        address = Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.AbsolutePath == "/" && uri.Query.Length == 0 && uri.UserInfo.Length == 0
            ? new ConsulAddress(uri, token)
            : null;
        return address is not null;
    }

    public override string ToString() => Uri.GetLeftPart(UriPartial.Authority); // and never the token
}

/// <summary>The Consul answered, and said no.</summary>
public sealed class ConsulRefusedException(HttpStatusCode status, string text) : Exception($"{(int)status} {text}")
{
    /// <summary>A condition of the transaction does not hold: somebody else has changed what we built on.</summary>
    public bool Conflict => status == HttpStatusCode.Conflict;
}

/// <summary>The few calls that publishing into a Consul takes: what is there of a cluster, and transactions that change it.</summary>
public sealed class ConsulClient : IDisposable
{
    /// <summary>Consul refuses transactions of more.</summary>
    public const int TransactionStepsMax = 32;

    /// <summary>Consul takes 512 kB.</summary>
    public const int TransactionBytesMax = 256 * 1024;

    private const long AnswerBytesMax = 256L << 20;

    private readonly HttpClient _http;

    public ConsulClient(ConsulAddress address, TimeSpan timeout)
    {
        _http = new HttpClient(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(5), PooledConnectionLifetime = TimeSpan.FromMinutes(5), UseProxy = false })
        {
            BaseAddress = address.Uri, Timeout = timeout, MaxResponseContentBufferSize = AnswerBytesMax,
        };
        if (address.Token is { } token) _http.DefaultRequestHeaders.Add("X-Consul-Token", token);
    }

    public async Task<Observation> ObserveAsync(string cluster, CancellationToken stopping)
    {
        var nodes = ImmutableSortedDictionary.CreateBuilder<string, PublishedNode>(StringComparer.Ordinal);
        var foreignNodes = ImmutableHashSet.CreateBuilder<string>(StringComparer.Ordinal);
        var foreignInstances = ImmutableHashSet.CreateBuilder<(string, string)>();
        foreach (var node in await GetAsync<NodeJson[]>("/v1/catalog/nodes", stopping).ConfigureAwait(false) ?? [])
            if (node.Meta?.GetValueOrDefault(CatalogNode.ClusterMeta) == cluster) nodes[node.Node] = await NodeAsync(node, cluster, foreignInstances, stopping).ConfigureAwait(false);
            else foreignNodes.Add(node.Node);
        var (keys, foreignKeys) = await KeysAsync(cluster, stopping).ConfigureAwait(false);
        return new Observation(nodes.ToImmutable(), foreignNodes.ToImmutable(), foreignInstances.ToImmutable(), keys, foreignKeys);
    }

    /// <summary>All steps or none.</summary>
    public async Task ApplyAsync(string cluster, IEnumerable<PublishStep> steps, CancellationToken stopping)
    {
        using var body = new ByteArrayContent(ConsulTransaction.Render(cluster, steps));
        body.Headers.ContentType = new("application/json");
        using var answer = await _http.PutAsync(new Uri("/v1/txn", UriKind.Relative), body, stopping).ConfigureAwait(false);
        await EnsureAsync(answer, stopping).ConfigureAwait(false);
    }

    /// <summary>The key's value (null: none) and the index by which to wait for another one; waits only when <paramref name="after"/> is not 0.</summary>
    public async Task<(long Index, ImmutableArray<byte>? Value)> ReadAsync(string key, long after, TimeSpan wait, CancellationToken stopping)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"/v1/kv/{key}?raw&index={after}&wait={(int)wait.TotalSeconds}s");
        using var answer = await _http.GetAsync(new Uri(path, UriKind.Relative), stopping).ConfigureAwait(false);
        var index = answer.Headers.TryGetValues("X-Consul-Index", out var said) && long.TryParse(said.First(), NumberStyles.None, CultureInfo.InvariantCulture, out var next) ? next : 0;
        if (answer.StatusCode == HttpStatusCode.NotFound) return (index, null);
        await EnsureAsync(answer, stopping).ConfigureAwait(false);
        return (index, [.. await answer.Content.ReadAsByteArrayAsync(stopping).ConfigureAwait(false)]);
    }

    public void Dispose() => _http.Dispose();

    private async Task<PublishedNode> NodeAsync(NodeJson node, string cluster, ImmutableHashSet<(string, string)>.Builder foreign, CancellationToken stopping)
    {
        var name = Uri.EscapeDataString(node.Node);
        var on = await GetAsync<NodeServicesJson>($"/v1/catalog/node/{name}", stopping).ConfigureAwait(false);
        var checks = (await GetAsync<CheckJson[]>($"/v1/health/node/{name}", stopping).ConfigureAwait(false) ?? []).ToDictionary(x => x.CheckID, StringComparer.Ordinal);
        var instances = ImmutableSortedDictionary.CreateBuilder<string, PublishedInstance>(StringComparer.Ordinal);
        foreach (var (id, service) in on?.Services ?? [])
            if (service.Meta?.GetValueOrDefault(CatalogNode.ClusterMeta) != cluster) foreign.Add((node.Node, id));
            else
            {
                var check = checks.GetValueOrDefault($"service:{id}");
                instances[id] = new PublishedInstance(
                    id, service.Service, (service.Tags ?? []).ToEquatableArray(), service.Address, service.Port, EquatableMap.From(service.Meta!), StatusOf(check?.Status), check?.Output ?? "");
            }
        return new PublishedNode(node.Node, node.ID, node.Address, StatusOf(checks.GetValueOrDefault(PublishedNode.CheckId)?.Status), instances.ToImmutable());
    }

    private async Task<(ImmutableSortedDictionary<string, ImmutableArray<byte>> Ours, ImmutableHashSet<string> Foreign)> KeysAsync(string cluster, CancellationToken stopping)
    {
        var ours = ImmutableSortedDictionary.CreateBuilder<string, ImmutableArray<byte>>(StringComparer.Ordinal);
        var foreign = ImmutableHashSet.CreateBuilder<string>(StringComparer.Ordinal);
        var flags = Publication.FlagsOf(cluster);
        foreach (var entry in await GetAsync<KeyJson[]>($"/v1/kv/{KvTree.Root}?recurse", stopping).ConfigureAwait(false) ?? [])
            if (entry.Flags == flags) ours[entry.Key] = [.. entry.Value ?? []];
            else foreign.Add(entry.Key);
        return (ours.ToImmutable(), foreign.ToImmutable());
    }

    /// <summary>Null where there is nothing. Reads are the leader's own: a follower's old view would be repaired for nothing.</summary>
    private async Task<T?> GetAsync<T>(string path, CancellationToken stopping) where T : class
    {
        using var answer = await _http.GetAsync(new Uri(path, UriKind.Relative), stopping).ConfigureAwait(false);
        if (answer.StatusCode == HttpStatusCode.NotFound) return null;
        await EnsureAsync(answer, stopping).ConfigureAwait(false);
        return await answer.Content.ReadFromJsonAsync<T>(stopping).ConfigureAwait(false);
    }

    private static async Task EnsureAsync(HttpResponseMessage answer, CancellationToken stopping)
    {
        if (answer.IsSuccessStatusCode) return;
        var text = await answer.Content.ReadAsStringAsync(stopping).ConfigureAwait(false);
        throw new ConsulRefusedException(answer.StatusCode, text.Length > 500 ? text[..500] : text);
    }

    private static CheckStatus? StatusOf(string? text) => text switch { "passing" => CheckStatus.Passing, "warning" => CheckStatus.Warning, "critical" => CheckStatus.Critical, _ => null };

    // Consul's own member names.
    private sealed record NodeJson(string ID, string Node, string Address, Dictionary<string, string>? Meta);
    private sealed record NodeServicesJson(Dictionary<string, ServiceJson>? Services);
    private sealed record ServiceJson(string Service, string[]? Tags, string Address, int Port, Dictionary<string, string>? Meta);
    private sealed record CheckJson(string CheckID, string Status, string Output);
    private sealed record KeyJson(string Key, ulong Flags, byte[]? Value);
}
