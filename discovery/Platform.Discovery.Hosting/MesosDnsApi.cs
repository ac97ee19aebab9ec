using System.Reflection;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Platform.Discovery.Hosting;

/// <summary>Mesos-DNS's HTTP API, for the tools that ask it instead of DNS.</summary>
public static class MesosDnsApi
{
    private const int ChunkBytes = 32 * 1024;

    public static void MapMesosDns(this IEndpointRouteBuilder routes, DnsServerHost dns)
    {
        routes.MapGet("/v1/version", context => WriteAsync(context, json =>
        {
            json.WriteStartObject();
            json.WriteString("Service", "Mesos-DNS");
            json.WriteString("Version", $"platform {Assembly.GetEntryAssembly()?.GetName().Version}");
            json.WriteString("URL", "https://github.com/mesosphere/mesos-dns");
            json.WriteEndObject();
            return [];
        }));
        routes.MapGet("/v1/config", context => WriteAsync(context, json => WriteConfig(json, dns)));
        routes.MapGet("/v1/hosts/{host}", context => WriteAsync(context, json =>
        {
            MesosDnsJson.Hosts(json, dns.Zone, (string)context.Request.RouteValues["host"]!);
            return [];
        }));
        routes.MapGet("/v1/hosts/{host}/ports", context =>
        {
            context.Response.StatusCode = StatusCodes.Status501NotImplemented; // as it is there
            return context.Response.WriteAsync("To be implemented...");
        });
        routes.MapGet("/v1/services/{service}", context => WriteAsync(context, json =>
        {
            MesosDnsJson.Services(json, dns.Zone, (string)context.Request.RouteValues["service"]!);
            return [];
        }));
        routes.MapGet("/v1/enumerate", context => WriteAsync(context, json => MesosDnsJson.Enumerate(json, dns.Zone)));
        routes.MapGet("/v1/axfr", context =>
        {
            if (dns.Zone is { } zone) return WriteAsync(context, json => MesosDnsJson.Axfr(json, zone));
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            return context.Response.WriteAsync("no endpoint table yet");
        });
    }

    private static async Task WriteAsync(HttpContext context, Func<Utf8JsonWriter, IEnumerable<string>> steps)
    {
        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        foreach (var _ in steps(json))
        {
            if (json.BytesPending + context.Response.BodyWriter.UnflushedBytes < ChunkBytes) continue;
            json.Flush();
            await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        }
        json.Flush();
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }

    /// <summary>The settings that have a meaning here, under Mesos-DNS's names.</summary>
    private static IEnumerable<string> WriteConfig(Utf8JsonWriter json, DnsServerHost dns)
    {
        var (domains, listeners) = (DnsDomains.Of(dns.Options.Naming), dns.Listeners);
        json.WriteStartObject();
        json.WriteNumber("RefreshSeconds", 0);
        json.WriteNumber("TTL", DnsZone.InstanceTtlSeconds);
        json.WriteNumber("Port", listeners.Count > 0 ? listeners[0].Port : 0);
        json.WriteString("Domain", domains.Apex);
        json.WriteStartArray("Resolvers");
        foreach (var server in dns.Options.Upstreams) json.WriteStringValue(server.ToString());
        json.WriteEndArray();
        json.WriteNumber("Timeout", (int)dns.Options.UpstreamTimeout.TotalSeconds);
        json.WriteString("Listener", string.Join(',', listeners.Select(x => x.Address)));
        json.WriteBoolean("DnsOn", true);
        json.WriteBoolean("HttpOn", true);
        json.WriteBoolean("ExternalOn", true);
        json.WriteBoolean("RecurseOn", true);
        json.WriteString("SOAMname", $"ns1.{domains.Apex}.");
        json.WriteString("SOARname", $"root.ns1.{domains.Apex}.");
        json.WriteNumber("SOAMinttl", DnsZone.NegativeTtlSeconds);
        json.WriteNumber("SRVRecordDefaultWeight", 1);
        json.WriteBoolean("EnforceRFC952", false);
        json.WriteBoolean("SetTruncateBit", true);
        json.WriteBoolean("EnumerationOn", true);
        json.WriteEndObject();
        return [];
    }
}
