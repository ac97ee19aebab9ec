using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Globalization;
using System.Text;
using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Agent;

/// <summary>Makes probes. A connection each, no redirects, any certificate, a bounded read, a bounded number at once.</summary>
internal sealed class Prober : IDisposable
{
    public const int AtOnceMax = 256;
    public const int BodyMax = 64 * 1024;

    /// <summary>Of a readiness check's answer: it travels with each report and is shown to users.</summary>
    public const int BodyKept = 4 * 1024;

    private readonly SemaphoreSlim _room = new(AtOnceMax);
    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false,
        PooledConnectionLifetime = TimeSpan.Zero, // a kept connection would answer for a process that no longer accepts any
        MaxResponseHeadersLength = BodyMax / 1024,
        MaxResponseDrainSize = 0,
        SslOptions = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = AnyCertificate },
    });

    /// <summary>Contract 5.5: a health check asks for life, not identity. Nothing is sent that a stranger could use.</summary>
    private static bool AnyCertificate(object sender, System.Security.Cryptography.X509Certificates.X509Certificate? certificate, System.Security.Cryptography.X509Certificates.X509Chain? chain, SslPolicyErrors errors)
    {
        _ = errors;
        return certificate is not null;
    }

    /// <summary>Always ends with an outcome, within the probe's timeout once there is room.</summary>
    public async Task<ProbeOutcome> ProbeAsync(AgentAction.Probe probe, IContainerRuntime? runtime, CancellationToken stopping)
    {
        await _room.WaitAsync(stopping).ConfigureAwait(false);
        try
        {
            var check = probe.Check;
            if (check.Protocol == HealthCheckProtocol.Command)
                return runtime is null ? new ProbeOutcome.Undecided() : await runtime.ExecAsync(probe.Id, check, probe.Timeout, stopping).ConfigureAwait(false);
            if (probe.Address is null || probe.Port == 0) return new ProbeOutcome.Failed("The task has no address or port to be probed at");

            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            limit.CancelAfter(probe.Timeout);
            try
            {
                return check.Protocol is HealthCheckProtocol.Tcp or HealthCheckProtocol.MesosTcp
                    ? await ConnectAsync(probe, limit.Token).ConfigureAwait(false)
                    : await GetAsync(probe, limit.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
            {
                return new ProbeOutcome.Failed(string.Create(CultureInfo.InvariantCulture, $"No answer from {probe.Address}:{probe.Port} within {probe.Timeout.TotalSeconds:0.###} s"));
            }
            catch (Exception e) when (e is HttpRequestException or IOException or SocketException or UriFormatException)
            {
                return new ProbeOutcome.Failed($"{probe.Address}:{probe.Port}: {(e.InnerException ?? e).Message}");
            }
        }
        finally
        {
            _room.Release();
        }
    }

    /// <summary>
    /// Contract 5.6: what the task answered; 504 with the reason if it could not be asked. Always within the check's timeout once there is room.
    /// </summary>
    public async Task<ReadinessResponse> AskAsync(AgentAction.AskReadiness ask, CancellationToken stopping)
    {
        if (ask.Address is null || ask.Port == 0) return NotAsked("The task has no address or port to be asked at");
        await _room.WaitAsync(stopping).ConfigureAwait(false);
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            limit.CancelAfter(TimeSpan.FromSeconds(ask.Check.TimeoutSeconds));
            using var response = await SendAsync(ask.Check.Https ? "https" : "http", ask.Address, ask.Port, ask.Check.Path, limit.Token).ConfigureAwait(false);
            var body = await ReadAsync(response, limit.Token).ConfigureAwait(false);
            var contentType = response.Content.Headers.ContentType?.ToString() ?? "text/plain";
            return new ReadinessResponse((int)response.StatusCode, contentType, Encoding.UTF8.GetString(body.Span));
        }
        catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
        {
            return NotAsked(string.Create(CultureInfo.InvariantCulture, $"No answer from {ask.Address}:{ask.Port} within {ask.Check.TimeoutSeconds:0.###} s"));
        }
        catch (Exception e) when (e is HttpRequestException or IOException or SocketException or UriFormatException)
        {
            return NotAsked($"{ask.Address}:{ask.Port}: {(e.InnerException ?? e).Message}");
        }
        finally
        {
            _room.Release();
        }
    }

    public static ReadinessResponse NotAsked(string why) => new(504, "text/plain", why);

    public void Dispose()
    {
        _http.Dispose();
        _room.Dispose();
    }

    private static async Task<ProbeOutcome> ConnectAsync(AgentAction.Probe probe, CancellationToken limit)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(probe.Address!, probe.Port, limit).ConfigureAwait(false);
        return new ProbeOutcome.Passed();
    }

    private async Task<ProbeOutcome> GetAsync(AgentAction.Probe probe, CancellationToken limit)
    {
        var check = probe.Check;
        var scheme = check.Protocol is HealthCheckProtocol.Https or HealthCheckProtocol.MesosHttps ? "https" : "http";
        var path = check.Path is { Length: > 0 } given ? (given.StartsWith('/') ? given : "/" + given) : "/";
        using var response = await SendAsync(scheme, probe.Address!, probe.Port, path, limit).ConfigureAwait(false);
        var status = (int)response.StatusCode;
        if (status is >= 200 and <= 399)
        {
            await ReadAsync(response, limit).ConfigureAwait(false); // the answer has to come, not only its first line
            return new ProbeOutcome.Passed();
        }
        if (status < 200 && check.IgnoreHttp1xx) return new ProbeOutcome.Undecided();
        return new ProbeOutcome.Failed(string.Create(CultureInfo.InvariantCulture, $"HTTP {status} {response.ReasonPhrase} from {probe.Address}:{probe.Port}{path}"));
    }

    private async Task<HttpResponseMessage> SendAsync(string scheme, string address, int port, string path, CancellationToken limit)
    {
        var host = address.Contains(':') ? $"[{address}]" : address;
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(string.Create(CultureInfo.InvariantCulture, $"{scheme}://{host}:{port}{path}")));
        request.Headers.ConnectionClose = true;
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("Platform-Health", "1"));
        return await _http.SendAsync(request, limit).ConfigureAwait(false);
    }

    /// <summary>Reads to the end or to the bound, and keeps the beginning.</summary>
    private static async Task<ReadOnlyMemory<byte>> ReadAsync(HttpResponseMessage response, CancellationToken limit)
    {
        var buffer = new byte[2 * BodyKept];
        using var body = await response.Content.ReadAsStreamAsync(limit).ConfigureAwait(false);
        var total = 0;
        while (total < BodyMax)
        {
            var count = await body.ReadAsync(buffer.AsMemory(Math.Min(total, BodyKept)), limit).ConfigureAwait(false);
            if (count == 0) break;
            total += count;
        }
        return buffer.AsMemory(0, Math.Min(total, BodyKept));
    }
}
