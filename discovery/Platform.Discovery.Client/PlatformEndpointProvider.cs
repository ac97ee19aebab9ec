using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Microsoft.Extensions.ServiceDiscovery;

namespace Platform.Discovery.Client;

/// <summary>
/// One service's endpoints as the watch has them. Without a port's name its first port is meant; <c>http://_admin.web</c> means the port called
/// admin, and <c>http://_port1.web</c> the second one. A name that no app has is left to other providers.
/// </summary>
internal sealed class PlatformEndpointProvider(ServiceEndpointQuery query, EndpointStream stream) : IServiceEndpointProvider
{
    public async ValueTask PopulateAsync(IServiceEndpointBuilder endpoints, CancellationToken cancellationToken)
    {
        if (endpoints.Endpoints.Count > 0) return; // somebody before us knew it: a development setting, for one
        var (services, changed) = await stream.LookAsync(query.ServiceName, cancellationToken).ConfigureAwait(false);
        endpoints.AddChangeToken(changed);
        foreach (var endpoint in services.SelectMany(s => s.Endpoints).Where(IsMeant)) endpoints.Endpoints.Add(ServiceEndpoint.Create(endpoint.Address));
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask; // the stream is everybody's

    public override string ToString() => "Platform";

    private bool IsMeant(WatchedEndpoint endpoint) => query.EndpointName is not { Length: > 0 } name
        ? endpoint.PortIndex == 0
        : string.Equals(endpoint.PortName, name, StringComparison.OrdinalIgnoreCase)
            || string.Equals(name, string.Create(CultureInfo.InvariantCulture, $"port{endpoint.PortIndex}"), StringComparison.OrdinalIgnoreCase);
}

internal sealed class PlatformEndpointProviderFactory(EndpointStream stream) : IServiceEndpointProviderFactory
{
    public bool TryCreateProvider(ServiceEndpointQuery query, [NotNullWhen(true)] out IServiceEndpointProvider? provider)
    {
        provider = new PlatformEndpointProvider(query, stream);
        return true;
    }
}
