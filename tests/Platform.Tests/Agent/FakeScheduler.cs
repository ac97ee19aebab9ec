using System.Threading.Channels;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Platform.Model;
using Platform.Protocol;
using Wire = Platform.Protocol.Wire;

namespace Platform.Tests.Agent;

/// <summary>The other end of the link, on a unix socket: says what it is told to, and hands on what it hears.</summary>
internal sealed class FakeScheduler : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Channel<Session> _sessions = Channel.CreateUnbounded<Session>();

    private FakeScheduler(WebApplication app) => _app = app;

    public SchedulerWelcome Welcome { get; set; } = new("c1", 1, TimeSpan.FromMilliseconds(200));

    /// <summary>One stream of one agent.</summary>
    public sealed record Session(AgentHello Hello, IServerStreamWriter<Wire.ToAgent> Outgoing, Channel<AgentReport> Reports, TaskCompletionSource Ended)
    {
        public Task SendAsync(Wire.ToAgent message) => Outgoing.WriteAsync(message);

        /// <summary>The first report from now on that fits; fails with the last one seen when none does in time.</summary>
        public async Task<AgentReport> ReportAsync(Func<AgentReport, bool> fits)
        {
            using var limit = new CancellationTokenSource(Suite.Patience);
            AgentReport? last = null;
            try
            {
                await foreach (var report in Reports.Reader.ReadAllAsync(limit.Token))
                    if (fits(last = report)) return report;
            }
            catch (OperationCanceledException) { }
            throw new TimeoutException($"no fitting report; the last was {last}");
        }
    }

    public static async Task<FakeScheduler> StartAsync(string socket)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(x => x.ListenUnixSocket(socket, o => o.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton<Holder>();
        var app = builder.Build();
        app.MapGrpcService<Gateway>();
        var scheduler = new FakeScheduler(app);
        app.Services.GetRequiredService<Holder>().Scheduler = scheduler;
        await app.StartAsync();
        return scheduler;
    }

    public async Task<Session> NextSessionAsync()
    {
        using var limit = new CancellationTokenSource(Suite.Patience);
        return await _sessions.Reader.ReadAsync(limit.Token);
    }

    public async ValueTask DisposeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        await _app.StopAsync(soon.Token);
        await _app.DisposeAsync();
    }

    private async Task ServeAsync(IAsyncStreamReader<Wire.FromAgent> incoming, IServerStreamWriter<Wire.ToAgent> outgoing, CancellationToken ended)
    {
        Session? session = null;
        try
        {
            while (await incoming.MoveNext(ended))
                if (incoming.Current.Hello is { } hello)
                {
                    session = new Session(AgentCodec.Decode(hello), outgoing, Channel.CreateUnbounded<AgentReport>(), new TaskCompletionSource());
                    await outgoing.WriteAsync(AgentCodec.Encode(Welcome), ended);
                    _sessions.Writer.TryWrite(session);
                }
                else session?.Reports.Writer.TryWrite(AgentCodec.Decode(incoming.Current.Report));
        }
        catch (Exception e) when (e is IOException or OperationCanceledException) { }
        finally
        {
            session?.Ended.TrySetResult();
        }
    }

    public sealed class Holder
    {
        internal FakeScheduler? Scheduler { get; set; }
    }

    public sealed class Gateway(Holder holder) : Wire.SchedulerLink.SchedulerLinkBase
    {
        public override Task Connect(IAsyncStreamReader<Wire.FromAgent> requestStream, IServerStreamWriter<Wire.ToAgent> responseStream, ServerCallContext context) =>
            holder.Scheduler!.ServeAsync(requestStream, responseStream, context.CancellationToken);
    }
}
