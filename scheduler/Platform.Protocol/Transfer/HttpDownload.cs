using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;

namespace Platform.Protocol.Transfer;

/// <summary>It could not be downloaded; the message is the reason, for a user.</summary>
public sealed class DownloadException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// Downloads over http and https, for agents (artifacts) and the scheduler (storeUrls). Redirects are followed here, and where private addresses are
/// forbidden the address is judged when it is connected to: of each hop, and after its name was resolved, so that no name can mean another by then.
/// </summary>
public sealed class HttpDownload(bool forbidPrivate) : IDisposable
{
    public const int RedirectsMax = 10;
    private const int BufferBytes = 128 * 1024;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan HeadersTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(60);

    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseProxy = false, // a proxy would resolve the names, and reach what we must not
        UseCookies = false,
        ConnectTimeout = ConnectTimeout,
        AutomaticDecompression = DecompressionMethods.None, // a .gz is to arrive as one
        ConnectCallback = forbidPrivate ? ConnectToPublicAsync : null,
    });

    /// <summary>Writes the body to <paramref name="to"/>; returns its ETag, if it has one.</summary>
    /// <param name="progress">Bytes so far.</param>
    public async Task<string?> CopyAsync(Uri from, Stream to, long bytesMax, IProgress<long>? progress, CancellationToken cancelled)
    {
        try
        {
            using var response = await GetAsync(from, cancelled).ConfigureAwait(false);
            if (response.Content.Headers.ContentLength > bytesMax) throw TooLarge(bytesMax);
            var body = await response.Content.ReadAsStreamAsync(cancelled).ConfigureAwait(false);
            await using var _ = body.ConfigureAwait(false);
            await CopyAsync(body, to, bytesMax, progress, cancelled).ConfigureAwait(false);
            return response.Headers.ETag?.Tag;
        }
        catch (Exception e) when (e is HttpRequestException or SocketException || (e is OperationCanceledException && !cancelled.IsCancellationRequested))
        {
            throw new DownloadException(ReasonOf(e), e);
        }
    }

    public void Dispose() => _http.Dispose();

    private async Task<HttpResponseMessage> GetAsync(Uri from, CancellationToken cancelled)
    {
        var uri = from;
        for (var hop = 0; hop <= RedirectsMax; hop++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, uri);
            if (uri.UserInfo.Length > 0)
                request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(Uri.UnescapeDataString(uri.UserInfo))));
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancelled);
            limit.CancelAfter(HeadersTimeout);
            var response = await _http.SendAsync(request, limit.Token).ConfigureAwait(false);
            if (response.StatusCode == HttpStatusCode.OK) return response;
            using (response)
            {
                var redirects = response.StatusCode is HttpStatusCode.MovedPermanently or HttpStatusCode.Found or HttpStatusCode.SeeOther
                    or HttpStatusCode.TemporaryRedirect or HttpStatusCode.PermanentRedirect;
                if (!redirects || response.Headers.Location is not { } location)
                    throw new DownloadException(string.Create(CultureInfo.InvariantCulture, $"the server answered {(int)response.StatusCode} {response.ReasonPhrase}").TrimEnd());
                uri = new Uri(uri, location);
            }
            if (uri.Scheme is not ("http" or "https")) throw new DownloadException($"it redirects to '{uri.Scheme}:', which is not followed");
        }
        throw new DownloadException($"it redirects more than {RedirectsMax} times");
    }

    private static async Task CopyAsync(Stream from, Stream to, long bytesMax, IProgress<long>? progress, CancellationToken cancelled)
    {
        var buffer = new byte[BufferBytes];
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancelled);
        for (long total = 0; ;)
        {
            silence.CancelAfter(SilenceMax);
            int count;
            try
            {
                count = await from.ReadAsync(buffer, silence.Token).ConfigureAwait(false);
            }
            catch (IOException e)
            {
                throw new DownloadException($"the connection broke after {total} bytes: {e.Message}", e);
            }
            if (count == 0) return;
            if ((total += count) > bytesMax) throw TooLarge(bytesMax);
            await to.WriteAsync(buffer.AsMemory(0, count), cancelled).ConfigureAwait(false);
            progress?.Report(total);
        }
    }

    private static async ValueTask<Stream> ConnectToPublicAsync(SocketsHttpConnectionContext context, CancellationToken cancelled)
    {
        var (host, port) = (context.DnsEndPoint.Host, context.DnsEndPoint.Port);
        var addresses = IPAddress.TryParse(host, out var literal) ? [literal] : await Dns.GetHostAddressesAsync(host, cancelled).ConfigureAwait(false);
        var allowed = addresses.Where(PublicAddresses.Contains).ToArray();
        if (allowed.Length == 0)
            throw new DownloadException($"{host} is {(addresses.Length > 0 ? addresses[0].ToString() : "nowhere")}, and private addresses may not be fetched from");
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(allowed, port, cancelled).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static DownloadException TooLarge(long bytesMax) => new($"it is larger than the {bytesMax} bytes that may be fetched");

    private static string ReasonOf(Exception e)
    {
        for (Exception? x = e; x is not null; x = x.InnerException)
            if (x is DownloadException or SocketException) return x.Message;
        return e is OperationCanceledException ? "the server does not answer in time" : e.Message;
    }
}
