using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Platform.Tests.Proxy;

/// <summary>A task: a real web server on a free port.</summary>
internal sealed class WebBackend : IAsyncDisposable
{
    private readonly WebApplication _app;
    private int _inside;

    private WebBackend(WebApplication app) => _app = app;

    public int Port { get; private set; }

    /// <summary>Requests that are in it now.</summary>
    public int Inside => Volatile.Read(ref _inside);

    public static async Task<WebBackend> StartAsync(RequestDelegate answer, HttpProtocols protocols = HttpProtocols.Http1)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(x =>
        {
            x.Limits.MaxRequestBodySize = null;
            x.RequestHeaderEncodingSelector = _ => Encoding.Latin1;
            x.Listen(IPAddress.Loopback, 0, l => l.Protocols = protocols);
        });
        var app = builder.Build();
        var backend = new WebBackend(app);
        app.UseWebSockets();
        app.Run(async context =>
        {
            Interlocked.Increment(ref backend._inside);
            try
            {
                await answer(context);
            }
            finally
            {
                Interlocked.Decrement(ref backend._inside);
            }
        });
        await app.StartAsync();
        var address = app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.Single();
        backend.Port = new Uri(address).Port;
        return backend;
    }

    public static Task<WebBackend> SayingAsync(string text) => StartAsync(x => x.Response.WriteAsync(text));

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }
}

/// <summary>A task that does to its connections whatever a test wants.</summary>
internal sealed class RawBackend : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public RawBackend(Func<Socket, Task> serve)
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen();
        _ = AcceptAsync(serve);
    }

    public int Port => ((IPEndPoint)_socket.LocalEndPoint!).Port;
    public int Connections { get; private set; }

    public void Dispose() => _socket.Dispose();

    /// <summary>Reads up to the empty line that ends a request's headers; empty when the peer closed.</summary>
    public static async Task<string> HeadAsync(Socket socket)
    {
        var text = new StringBuilder();
        var one = new byte[1];
        while (await socket.ReceiveAsync(one.AsMemory()) == 1)
        {
            text.Append((char)one[0]);
            if (text.Length >= 4 && text.ToString(text.Length - 4, 4) == "\r\n\r\n") return text.ToString();
        }
        return "";
    }

    public static Task<int> SendAsync(Socket socket, string text) => socket.SendAsync(Encoding.Latin1.GetBytes(text));

    private async Task AcceptAsync(Func<Socket, Task> serve)
    {
        try
        {
            while (true)
            {
                var connection = await _socket.AcceptAsync();
                Connections++;
                _ = Task.Run(async () =>
                {
                    using (connection)
                    {
                        try
                        {
                            await serve(connection);
                        }
                        catch (Exception e) when (e is SocketException or ObjectDisposedException)
                        {
                            // the proxy closed first
                        }
                    }
                });
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // disposed
        }
    }
}
