using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.ServiceDiscovery;
using Platform.Discovery.Client;

namespace Microsoft.Extensions.DependencyInjection;

public static class PlatformDiscoveryServiceCollectionExtensions
{
    /// <summary>
    /// Lets <c>http://web</c> be the app <c>/web</c>, and <c>http://web.shop</c> or <c>http://web-shop</c> the app <c>/shop/web</c>, in every
    /// HttpClient that has <c>AddServiceDiscovery()</c>. In front of the providers already there, for their last one takes every name for itself;
    /// whoever wants those of <c>AddServiceDiscovery()</c> too, such as the configuration's, calls it before.
    /// </summary>
    public static IServiceCollection AddPlatformServiceDiscovery(this IServiceCollection services, Action<PlatformDiscoveryOptions> configure)
    {
        services.AddServiceDiscoveryCore().AddPassThroughServiceEndpointProvider();
        services.Configure(configure);
        services.TryAddSingleton<EndpointStream>();
        if (!services.Any(x => x.ImplementationType == typeof(PlatformEndpointProviderFactory)))
            services.Insert(0, ServiceDescriptor.Singleton<IServiceEndpointProviderFactory, PlatformEndpointProviderFactory>());
        return services;
    }

    /// <inheritdoc cref="AddPlatformServiceDiscovery(IServiceCollection, Action{PlatformDiscoveryOptions})"/>
    public static IServiceCollection AddPlatformServiceDiscovery(this IServiceCollection services, params Uri[] schedulers) =>
        services.AddPlatformServiceDiscovery(options =>
        {
            foreach (var scheduler in schedulers) options.Schedulers.Add(scheduler);
        });
}
