using System.Net;
using Platform.Model;

namespace Platform.Proxy.Routing;

internal enum PortMode { Http, Tcp }

/// <summary>What is wrong with an app's wish; <paramref name="Where"/> names the label or port.</summary>
internal sealed record RouteProblem(AppId App, string Where, string Reason);

/// <summary>A name an app wants at the edge. Names that come from the app's own id go before those that labels ask for.</summary>
internal readonly record struct HostClaim(string Host, bool OwnName);

/// <summary>One routed port of an app, as its service and labels say; knows nothing of endpoints.</summary>
internal sealed record PortSpec
{
    public required AppId App { get; init; }
    public required int Index { get; init; }

    /// <summary>Where the proxy listens for it; 0 = on no port of its own.</summary>
    public required int ServicePort { get; init; }

    public required PortMode Mode { get; init; }
    public EquatableArray<HostClaim> Hosts { get; init; }

    /// <summary>Not null: every request is refused, for this reason. A port that asks for protection we cannot give must not be open by mistake.</summary>
    public string? ClosedBecause { get; init; }

    /// <summary>Empty = everybody.</summary>
    public EquatableArray<IPNetwork> AllowedSources { get; init; }
}

/// <summary>The ports and problems of one <see cref="Service"/>.</summary>
internal sealed record AppSpec(EquatableArray<PortSpec> Ports, EquatableArray<RouteProblem> Problems);
