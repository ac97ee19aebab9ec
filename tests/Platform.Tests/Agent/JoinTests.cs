using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Grpc.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Agent;
using Platform.Agent.Joining;
using Platform.Model;
using Platform.Protocol;
using Platform.Protocol.Trust;
using Platform.Scheduler;
using Platform.Scheduler.Api;
using Platform.Scheduler.Link;
using Platform.Scheduling;
using Wire = Platform.Protocol.Wire;

namespace Platform.Tests.Agent;

/// <summary>Real schedulers on real TLS doors: who gets in, who does not, and what each is told.</summary>
public sealed class JoinTests : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("platform-join-").FullName;
    private readonly List<(SchedulerHost Host, CancellationTokenSource Stop, Task Running)> _schedulers = [];

    private static readonly NodeId N1 = NodeId.Parse("n1");

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var (host, stop, running) in _schedulers)
        {
            await host.StopAsync(CancellationToken.None);
            await stop.CancelAsync();
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await host.DisposeAsync();
            stop.Dispose();
        }
        Directory.Delete(_directory, recursive: true);
    }

    private async Task<SchedulerHost> SchedulerAsync(string name, bool plain = false, TimeSpan? lifetime = null)
    {
        var data = Path.Combine(_directory, name);
        Directory.CreateDirectory(data);
        var options = new SchedulerHostOptions(data, new IPEndPoint(IPAddress.Loopback, 0), Path.Combine(data, "link.sock"), new ApiOptions())
        {
            Link = new LinkDoor(new IPEndPoint(IPAddress.Loopback, 0), plain), NodeCertificateLifetime = lifetime ?? CertificateAuthority.NodeLifetimeDefault,
        };
        var host = await SchedulerHost.CreateAsync(options, NullLoggerFactory.Instance, TimeProvider.System, CancellationToken.None);
        var stop = new CancellationTokenSource();
        await host.StartAsync(CancellationToken.None);
        _schedulers.Add((host, stop, host.Loop.RunAsync(stop.Token)));
        return host;
    }

    private static async Task<JoinTokenText> TokenAsync(SchedulerHost host)
    {
        using var http = new HttpClient();
        using var answer = await http.PostAsync(new Uri($"http://{host.Api}/v2/nodes/tokens"), null);
        var text = System.Text.Json.Nodes.JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["token"]!.GetValue<string>();
        Assert.True(JoinTokenText.TryParse(text, out var token));
        return token;
    }

    private string NodeDirectory(string name) => Path.Combine(_directory, "node-" + name);

    private Task<NodeCredentials> JoinAsync(SchedulerHost host, JoinTokenText token, NodeId node, string? directory = null) =>
        new ClusterJoin([$"https://{host.Link}"], token, node, directory ?? NodeDirectory(node.Name), TimeProvider.System, NullLogger<ClusterJoin>.Instance).JoinAsync(CancellationToken.None);

    /// <summary>What a stream says first, or the refusal.</summary>
    private static async Task<Wire.ToAgent> HelloAsync(SchedulerHost host, NodeCredentials? credentials, string name, string address = "127.0.0.1", string scheme = "https")
    {
        using var channel = SchedulerLink.ChannelTo($"{scheme}://{host.Link}", credentials?.Tls(TimeProvider.System) ?? new() { RemoteCertificateValidationCallback = (_, c, _, _) => c is not null });
        using var call = new Wire.SchedulerLink.SchedulerLinkClient(channel).Connect(deadline: DateTime.UtcNow.AddSeconds(60));
        var node = new NodeDescription { Id = NodeId.Parse(name), Address = address, Total = new Resources(1, 100, 100), TaskPortMin = 1, TaskPortMax = 2 };
        try
        {
            await call.RequestStream.WriteAsync(AgentCodec.Encode(new AgentHello(node, null, "b", AgentCodec.ProtocolVersion, EndpointCursor.Start)));
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            // refused before it was read: the reading tells why
        }
        return await call.ResponseStream.MoveNext(CancellationToken.None) ? call.ResponseStream.Current : throw new InvalidOperationException("the stream ended");
    }

    private static async Task<string> RefusedAsync(Func<Task> attempt, StatusCode code)
    {
        var refused = await Assert.ThrowsAsync<RpcException>(attempt);
        Assert.Equal(code, refused.StatusCode);
        return refused.Status.Detail;
    }

    [Fact]
    public async Task A_machine_with_a_token_becomes_a_node_and_one_without_does_not()
    {
        var host = await SchedulerAsync("s");
        using var credentials = await JoinAsync(host, await TokenAsync(host), N1);
        Assert.Equal(host.ClusterId, credentials.Cluster);
        Assert.Equal(host.ClusterId, (await HelloAsync(host, credentials, "n1")).Welcome.ClusterId);
        Assert.Contains("it shows no certificate", await RefusedAsync(() => HelloAsync(host, null, "n1"), StatusCode.Unauthenticated), StringComparison.Ordinal);
        Assert.Contains("The certificate is that of node n1, and not of n2", await RefusedAsync(() => HelloAsync(host, credentials, "n2"), StatusCode.PermissionDenied), StringComparison.Ordinal);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(NodeDirectory("n1"), "link.key")));
    }

    [Fact]
    public async Task What_was_joined_is_kept_and_another_token_joins_anew()
    {
        var host = await SchedulerAsync("s");
        var token = await TokenAsync(host);
        (await JoinAsync(host, token, N1)).Dispose();
        var now = DateTimeOffset.UtcNow;
        using (var kept = NodeCredentials.Load(NodeDirectory("n1"), N1, token, now)) Assert.Equal("n1", LinkIdentity.Of(kept!.Certificate.SubjectName)!.Name);
        using (var kept = NodeCredentials.Load(NodeDirectory("n1"), N1, null, now)) Assert.NotNull(kept);
        Assert.Null(NodeCredentials.Load(NodeDirectory("n1"), NodeId.Parse("other"), null, now));
        Assert.Null(NodeCredentials.Load(NodeDirectory("n1"), N1, await TokenAsync(host), now));
        Assert.Null(NodeCredentials.Load(NodeDirectory("n1"), N1, null, now.AddDays(8)));
        Assert.Null(NodeCredentials.Load(NodeDirectory("nobody"), N1, null, now));
    }

    [Fact]
    public async Task A_used_or_wrong_token_is_refused_with_the_reason()
    {
        var host = await SchedulerAsync("s");
        var token = await TokenAsync(host);
        (await JoinAsync(host, token, N1)).Dispose();
        var again = await Assert.ThrowsAsync<JoinRefusedException>(() => JoinAsync(host, token, NodeId.Parse("n2")));
        Assert.Contains("was used by node n1", again.Message, StringComparison.Ordinal);
        var forged = await Assert.ThrowsAsync<JoinRefusedException>(() => JoinAsync(host, JoinTokenText.Make(token.Authority), NodeId.Parse("n2")));
        Assert.Contains("is not known", forged.Message, StringComparison.Ordinal);
        (await JoinAsync(host, token, N1)).Dispose(); // the answer may have been lost on the way: the same machine is told again
    }

    /// <summary>The first contact: what answers is somebody else, and never sees the token.</summary>
    [Fact]
    public async Task A_scheduler_of_another_authority_is_not_believed()
    {
        var (right, wrong) = (await SchedulerAsync("right"), await SchedulerAsync("wrong"));
        var token = await TokenAsync(right);
        var refused = await Assert.ThrowsAsync<JoinRefusedException>(() => JoinAsync(wrong, token, N1));
        Assert.Contains("is not the cluster that the token is from", refused.Message, StringComparison.Ordinal);
        using var credentials = await JoinAsync(right, token, N1); // it is still unused
        await Assert.ThrowsAnyAsync<RpcException>(() => HelloAsync(wrong, credentials, "n1")); // and later neither end takes the other
    }

    [Fact]
    public async Task A_removed_node_has_lost_its_way_in()
    {
        var host = await SchedulerAsync("s");
        using var credentials = await JoinAsync(host, await TokenAsync(host), N1);
        Assert.NotNull((await HelloAsync(host, credentials, "n1")).Welcome);
        await EventuallyAsync(() => host.Loop.Current.State.Nodes.ContainsKey(N1));
        foreach (var command in (Command[])[new Command.DrainNode(N1, null) { Origin = ChangeOrigin.Internal }, new Command.RemoveNode(N1, false) { Origin = ChangeOrigin.Internal }])
            Assert.IsType<Decision.Accepted>(await host.Loop.AskAsync(command, CancellationToken.None));
        Assert.Contains("Node n1 was removed", await RefusedAsync(() => HelloAsync(host, credentials, "n1"), StatusCode.Unauthenticated), StringComparison.Ordinal);
        using var anew = await JoinAsync(host, await TokenAsync(host), N1);
        Assert.NotNull((await HelloAsync(host, anew, "n1")).Welcome);
    }

    [Fact]
    public async Task A_certificate_is_renewed_for_its_own_key_and_for_no_other()
    {
        var host = await SchedulerAsync("s");
        using var credentials = await JoinAsync(host, await TokenAsync(host), N1);
        var before = credentials.Certificate.SerialNumber;
        using var channel = SchedulerLink.ChannelTo($"https://{host.Link}", credentials.Tls(TimeProvider.System));
        var client = new Wire.SchedulerLink.SchedulerLinkClient(channel);
        credentials.Renewed(await client.RenewAsync(credentials.RenewRequest(N1)));
        Assert.NotEqual(before, credentials.Certificate.SerialNumber);
        Assert.NotNull((await HelloAsync(host, credentials, "n1")).Welcome);
        using (var kept = NodeCredentials.Load(NodeDirectory("n1"), N1, null, DateTimeOffset.UtcNow)) Assert.Equal(credentials.Certificate.SerialNumber, kept!.Certificate.SerialNumber);

        using var stranger = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var other = new Wire.RenewRequest { SigningRequest = Google.Protobuf.ByteString.CopyFrom(NodeCredentials.SigningRequest(stranger, N1)) };
        await RefusedAsync(async () => await client.RenewAsync(other), StatusCode.PermissionDenied);
        await RefusedAsync(async () => await client.RenewAsync(new Wire.RenewRequest { SigningRequest = Google.Protobuf.ByteString.CopyFromUtf8("no request") }), StatusCode.PermissionDenied);
    }

    [Fact]
    public async Task An_expired_certificate_opens_nothing()
    {
        var host = await SchedulerAsync("s", lifetime: TimeSpan.FromSeconds(1));
        using var credentials = await JoinAsync(host, await TokenAsync(host), N1);
        await EventuallyAsync(() => DateTimeOffset.UtcNow > credentials.ExpiresAt);
        Assert.Contains("expired", await RefusedAsync(() => HelloAsync(host, credentials, "n1"), StatusCode.Unauthenticated), StringComparison.Ordinal);
    }

    /// <summary>The scheduler's own certificate must not pass for a node's, nor a node's for a scheduler's.</summary>
    [Fact]
    public async Task Roles_are_not_exchanged()
    {
        var host = await SchedulerAsync("s");
        using var credentials = await JoinAsync(host, await TokenAsync(host), N1);
        var now = DateTimeOffset.UtcNow;
        Assert.NotNull(LinkCertificates.Verify(credentials.Certificate, credentials.Authority, LinkRole.Node, now).Identity);
        Assert.Null(LinkCertificates.Verify(credentials.Certificate, credentials.Authority, LinkRole.Scheduler, now).Identity);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var forged = new CertificateRequest(new LinkIdentity(host.ClusterId, LinkRole.Node, "n1").Subject, key, HashAlgorithmName.SHA256);
        using var own = forged.CreateSelfSigned(now.AddMinutes(-1), now.AddDays(1));
        Assert.Contains("not of this cluster's authority", LinkCertificates.Verify(own, credentials.Authority, LinkRole.Node, now).Why, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_links_door_serves_nothing_but_the_link()
    {
        var host = await SchedulerAsync("s");
        using var http = new HttpClient(new SocketsHttpHandler { SslOptions = { RemoteCertificateValidationCallback = (_, c, _, _) => c is not null } })
        {
            DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        foreach (var path in (string[])["/v2/apps", "/v2/nodes", "/ping", "/"])
            Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(new Uri($"https://{host.Link}{path}"))).StatusCode);
        using var large = new ByteArrayContent(new byte[1 << 20]) { Headers = { ContentType = new MediaTypeHeaderValue("application/grpc") } };
        using var answer = await http.PostAsync(new Uri($"https://{host.Link}/platform.link.v1.SchedulerLink/Join"), large);
        Assert.False(answer.Headers.TryGetValues("grpc-status", out var status) && status.Single() == "0", "a megabyte of a stranger was read");
    }

    [Fact]
    public async Task A_plain_link_takes_whoever_comes_and_refuses_an_address_that_leads_nowhere()
    {
        var host = await SchedulerAsync("s", plain: true);
        Assert.NotNull((await HelloAsync(host, null, "n7", scheme: "http")).Welcome);
        using var http = new HttpClient();
        using var token = await http.PostAsync(new Uri($"http://{host.Api}/v2/nodes/tokens"), null);
        Assert.Equal(HttpStatusCode.Conflict, token.StatusCode);
        Assert.Contains("is no IP address", await RefusedAsync(() => HelloAsync(host, null, "n8", "nowhere", "http"), StatusCode.FailedPrecondition), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_authority_is_in_the_log_and_its_key_only_sealed()
    {
        var host = await SchedulerAsync("s");
        var founded = host.Loop.Current.State.Authority!;
        Assert.StartsWith("-----BEGIN CERTIFICATE-----", founded.Certificate, StringComparison.Ordinal);
        Assert.DoesNotContain("PRIVATE KEY", founded.Key.Box, StringComparison.Ordinal);
        var token = await TokenAsync(host);
        var state = System.Text.Encoding.UTF8.GetString(SchedulerJson.Write(host.Loop.Current.State));
        Assert.DoesNotContain(token.Secret, state, StringComparison.Ordinal);
        Assert.Contains(token.Hash, state, StringComparison.Ordinal);
    }

    private static async Task EventuallyAsync(Func<bool> holds)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!holds()) await Task.Delay(20, limit.Token);
    }
}
