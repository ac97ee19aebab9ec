using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>The rig itself: what we compare ourselves with is what we think it is.</summary>
public sealed class RealConsulTests
{
    [Fact]
    public async Task Real_consul_of_the_version_we_compare_with_stores_and_answers()
    {
        await using var consul = await RealConsul.StartAsync();
        Assert.Contains("\"Version\":\"1.8.7", await consul.Http.GetStringAsync("/v1/agent/self"), StringComparison.Ordinal);
        using var stored = await consul.Http.PutAsync("/v1/kv/a", new StringContent("b"));
        Assert.Equal("true", await stored.Content.ReadAsStringAsync());
        Assert.Equal("b", await consul.Http.GetStringAsync("/v1/kv/a?raw"));
    }
}
