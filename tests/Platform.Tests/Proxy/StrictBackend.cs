using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Platform.Tests.Proxy;

/// <summary>
/// A task that takes nothing but what RFC 9112 allows, keeps what it saw, and answers each request with the token in its path (/t/TOKEN). It never closes of its own.
/// </summary>
internal sealed partial class StrictBackend : IDisposable
{
    [GeneratedRegex(@"/t/\w+")]
    private static partial Regex Token();

    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public StrictBackend()
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen(512);
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_socket.LocalEndPoint!).Port;

    /// <summary>The tokens that arrived (or paths without one), each with how often.</summary>
    public ConcurrentDictionary<string, int> Seen { get; } = new();

    /// <summary>What should never have come.</summary>
    public ConcurrentQueue<string> Violations { get; } = new();

    public void Dispose() => _socket.Dispose();

    private async Task AcceptAsync()
    {
        try
        {
            while (true) _ = ServeAsync(await _socket.AcceptAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // disposed
        }
    }

    private async Task ServeAsync(Socket connection)
    {
        var buffer = new byte[16 * 1024];
        var text = "";
        using (connection)
        {
            connection.NoDelay = true;
            try
            {
                while (true)
                {
                    while (text.Length > 0 && StrictHttp.Read(text) is { } request)
                    {
                        text = text[request.Length..];
                        Check(request);
                        var body = request.Method == "HEAD" ? "" : request.Target;
                        var answer = request.Target.Length % 3 == 0 && request.Method != "HEAD"
                            ? $"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body.Length:x}\r\n{body}\r\n0\r\n\r\n"
                            : $"HTTP/1.1 200 OK\r\nContent-Length: {request.Target.Length}\r\n\r\n{body}";
                        await connection.SendAsync(Encoding.Latin1.GetBytes(answer));
                    }
                    var read = await connection.ReceiveAsync(buffer);
                    if (read == 0) return;
                    text += Encoding.Latin1.GetString(buffer, 0, read);
                }
            }
            catch (FormatException e)
            {
                Violations.Enqueue($"{e.Message} in: {text}");
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // the proxy closed first
            }
        }
    }

    private void Check(StrictHttp request)
    {
        var token = Token().Match(request.Target);
        Seen.AddOrUpdate(token.Success ? token.Value : request.Target, 1, (_, n) => n + 1);
        foreach (var name in new[] { "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port" })
            if (request.Values(name).Count() is var count && count != 1 && !(count == 0 && name == "X-Forwarded-Host")) Violations.Enqueue($"{request.Values(name).Count()} {name} in: {request}");
        foreach (var name in new[] { "Forwarded", "X-Real-IP", "Via", "X-Original-URL", "X-Named", "Proxy", "Keep-Alive", "Upgrade", "Proxy-Connection" })
            if (request.Values(name).Any()) Violations.Enqueue($"{name} in: {request}");
        if (request.Values("X-Forwarded-For").Any(x => x != "127.0.0.1")) Violations.Enqueue($"a client's word on who it is: {request}");
        if (request.Target == "/smuggled") Violations.Enqueue($"smuggled: {request}");
    }
}
