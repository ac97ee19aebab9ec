using System.Net;

namespace Platform.Tests.Api;

/// <summary>Clients that make objects of answers fail on members they do not know; they say that they accept application/json and nothing beside.</summary>
public sealed class ContractOnlyTests
{
    private static readonly string[] OfDeployments =
        ["affectedApps", "affectedPods", "currentActions", "currentStep", "id", "steps", "totalSteps", "version"];

    private static readonly string[] OfQueue = ["app", "count", "delay", "processedOffersSummary", "since"];

    [Theory]
    [InlineData("application/json", false)]
    [InlineData("*/*", true)]
    [InlineData("application/json, */*", true)]
    public async Task Our_additions_are_for_those_who_can_take_them(string accept, bool additions)
    {
        await using var world = await ApiWorld.StartAsync();
        (await world.PostAsync("/v2/apps", """{"id":"/huge","cmd":"sleep 1","cpus":10000}""")).Must(HttpStatusCode.Created);
        var deployment = (await world.GetAsync("/v2/deployments", accept)).Must(HttpStatusCode.OK).Json[0]!.AsObject().Select(m => m.Key).Order(StringComparer.Ordinal);
        var item = (await world.GetAsync("/v2/queue", accept)).Must(HttpStatusCode.OK).Json["queue"]![0]!.AsObject().Select(m => m.Key).Order(StringComparer.Ordinal);
        Assert.Equal(additions, deployment.Contains("waiting"));
        Assert.Equal(additions, item.Contains("waiting"));
        if (additions) return;
        Assert.Equal(OfDeployments, deployment);
        Assert.Equal(OfQueue, item);
    }
}
