using System.Net;
using System.Net.Sockets;
using System.Text;
using Platform.Agent;
using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Tests.Agent;

/// <summary>Contract 5.6, on the node.</summary>
public sealed class ReadinessTests
{
    private static readonly ReadinessCheck Check = new() { Name = "warm", PortName = "http", IntervalSeconds = 10, TimeoutSeconds = 1, StatusCodesForReady = [200, 204], PreserveLastResponse = true };

    private static Assignment Waiting() => AgentWorld.Assign(1, app: a => a with
    {
        Container = a.Container! with { PortMappings = [new PortMapping(8080, 0, 10000, "tcp", "http", EquatableMap.Empty)] },
        ReadinessChecks = [Check],
    }) with { AwaitsReadiness = true };

    [Fact]
    public void IsAskedEachInterval_UntilReady_AndNeverAgain()
    {
        var world = new AgentWorld { Readiness = _ => new ReadinessResponse(503, "text/plain", "no") };
        var a = Waiting();
        world.Settle(world.List(), world.Desired(a));
        var asked = Assert.Single(world.Trace.OfType<AgentAction.AskReadiness>());
        Assert.Equal(("10.0.0.1", 31001), (asked.Address, asked.Port));
        Assert.Equal(new ReadinessState("warm", false, new ReadinessResponse(503, "text/plain", "no")), Assert.Single(world.Report(a)!.Readiness));
        world.Advance(25);
        Assert.Equal(3, world.Trace.OfType<AgentAction.AskReadiness>().Count());
        world.Readiness = _ => new ReadinessResponse(204, "text/plain", "");
        world.Advance(100);
        Assert.Equal(4, world.Trace.OfType<AgentAction.AskReadiness>().Count());
        Assert.True(Assert.Single(world.Report(a)!.Readiness).Ready);
        Assert.Contains(a.Id, world.Containers.Keys); // whatever it answered, it is not killed for it
    }

    [Fact]
    public void IsNotAsked_WithoutADeployment()
    {
        var world = new AgentWorld { Readiness = _ => new ReadinessResponse(503, "text/plain", "no") };
        var a = Waiting();
        world.Settle(world.List(), world.Desired(a with { AwaitsReadiness = false }));
        Assert.Empty(world.Trace.OfType<AgentAction.AskReadiness>());
        world.Settle(world.Desired(a));
        world.Settle(world.Desired(a with { AwaitsReadiness = false })); // the deployment was cancelled
        world.Advance(60);
        Assert.Single(world.Trace.OfType<AgentAction.AskReadiness>());
    }

    [Fact]
    public async Task WhatItIsAnswered_IsStatusTypeAndTheBeginningOfTheBody()
    {
        var body = new string('x', 10_000);
        var seen = await AskAsync($"HTTP/1.1 503 No\r\nContent-Type: text/html\r\nContent-Length: {body.Length}\r\nConnection: close\r\n\r\n{body}");
        Assert.Equal((503, "text/html", Prober.BodyKept), (seen.Status, seen.ContentType, seen.Body.Length));
    }

    [Fact]
    public async Task ATaskThatCannotBeAsked_IsA504()
    {
        var seen = await AskAsync(null);
        Assert.Equal((504, "text/plain"), (seen.Status, seen.ContentType));
        Assert.Contains("127.0.0.1", seen.Body);
    }

    /// <param name="answer">Null: nobody listens.</param>
    private static async Task<ReadinessResponse> AskAsync(string? answer)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        if (answer is null) listener.Stop();
        else
            _ = Task.Run(async () =>
            {
                using var client = await listener.AcceptTcpClientAsync();
                _ = await client.GetStream().ReadAsync(new byte[4096]);
                await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(answer));
            });
        using var prober = new Prober();
        var patient = Check with { TimeoutSeconds = Suite.Patience.TotalSeconds };
        return await prober.AskAsync(new AgentAction.AskReadiness(Waiting().Id, 0, patient, "127.0.0.1", port), CancellationToken.None);
    }
}
