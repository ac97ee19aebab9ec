using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Consul;

/// <summary>A real Consul and a platform, to be asked the same.</summary>
public sealed class ConsulWorld : IAsyncLifetime
{
    internal RealConsul Real { get; private set; } = null!;
    internal PlatformUnderTest Ours { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Real = await RealConsul.StartAsync();
        Ours = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
    }

    public async Task DisposeAsync()
    {
        if (Ours is not null) await Ours.DisposeAsync();
        if (Real is not null) await Real.DisposeAsync();
    }

    /// <summary>By name, so that one test says the same of both.</summary>
    internal HttpClient Of(string server) => server == "real" ? Real.Http : Ours.Kv;

    public static TheoryData<string> Both => ["real", "ours"];
}
