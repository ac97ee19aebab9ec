using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Platform.Proxy.Routing;

namespace Platform.Proxy;

/// <summary>What the proxy tells of itself; only reads.</summary>
public static class AdminPages
{
    public static void MapAdmin(this IEndpointRouteBuilder endpoints, EdgeProxy proxy)
    {
        endpoints.MapGet("/health", context => TextAsync(context, "ok\n"));
        endpoints.MapGet("/routes", context => JsonAsync(context, json => WriteRoutes(json, proxy)));
        endpoints.MapGet("/stats", context => JsonAsync(context, json => WriteStats(json, proxy)));
        endpoints.MapGet("/revisions", context => JsonAsync(context, json => WriteRevisions(json, proxy)));
        endpoints.MapGet("/haproxy;csv", context => TextAsync(context, Csv(proxy.Routes.Table)));
    }

    /// <summary>The table as text that does not depend on traffic; what the golden tests compare.</summary>
    internal static void WriteTable(Utf8JsonWriter json, RouteTable table, bool live = false)
    {
        json.WriteString("epoch", table.Cursor.Epoch);
        json.WriteNumber("revision", table.Cursor.Revision);
        json.WriteStartArray("routes");
        foreach (var route in table.Apps.SelectMany(x => x.Ports)) WriteRoute(json, table, route, live);
        json.WriteEndArray();
        json.WriteStartArray("problems");
        foreach (var problem in table.Problems) WriteProblem(json, problem.App.Path, problem.Where, problem.Reason);
        json.WriteEndArray();
    }

    private static void WriteRoute(Utf8JsonWriter json, RouteTable table, PortRoute route, bool live)
    {
        var spec = route.Spec;
        json.WriteStartObject();
        json.WriteString("app", spec.App.Path);
        json.WriteNumber("port", spec.Index);
        json.WriteString("mode", spec.Mode == PortMode.Http ? "http" : "tcp");
        if (spec.ServicePort > 0 && ReferenceEquals(table.ByPort(spec.ServicePort), route)) json.WriteNumber("servicePort", spec.ServicePort);
        json.WriteStartArray("hosts");
        foreach (var claim in spec.Hosts)
            if (ReferenceEquals(table.ByHost(claim.Host), route)) json.WriteStringValue(claim.Host);
        json.WriteEndArray();
        if (spec.ClosedBecause is { } reason) json.WriteString("closedBecause", reason);
        if (!spec.AllowedSources.IsEmpty)
        {
            json.WriteStartArray("allowedSources");
            foreach (var network in spec.AllowedSources) json.WriteStringValue(network.ToString());
            json.WriteEndArray();
        }
        json.WriteStartArray("endpoints");
        foreach (var target in route.Targets)
        {
            json.WriteStartObject();
            json.WriteString("instance", target.Upstream.Instance.Text);
            json.WriteString("address", target.Host);
            json.WriteNumber("port", target.Port);
            if (live) json.WriteNumber("inFlight", target.Upstream.InFlight);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteRoutes(Utf8JsonWriter json, EdgeProxy proxy)
    {
        json.WriteStartObject();
        var table = proxy.Routes.Table;
        WriteTable(json, table, live: true);
        json.WriteStartObject("listening");
        json.WriteString("edge", proxy.EdgeEndPoint.ToString());
        json.WriteStartArray("open");
        foreach (var endPoint in proxy.Ports.Open) json.WriteStringValue(endPoint.ToString());
        json.WriteEndArray();
        json.WriteStartArray("problems");
        foreach (var problem in proxy.Ports.Problems)
            WriteProblem(json, table.ByPort(problem.EndPoint.Port)?.Spec.App.Path, problem.EndPoint.ToString(),
                $"cannot be listened on ({problem.Error}), {problem.Attempts} attempts so far");
        if (table.ByPort(proxy.EdgeEndPoint.Port) is { } shadowed)
            WriteProblem(json, shadowed.Spec.App.Path, proxy.EdgeEndPoint.ToString(), "the app's service port is the edge door's: it is reached by name only");
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteProblem(Utf8JsonWriter json, string? app, string where, string reason)
    {
        json.WriteStartObject();
        json.WriteString("app", app);
        json.WriteString("where", where);
        json.WriteString("reason", reason);
        json.WriteEndObject();
    }

    private static void WriteStats(Utf8JsonWriter json, EdgeProxy proxy)
    {
        json.WriteStartArray();
        foreach (var route in proxy.Routes.Table.Apps.SelectMany(x => x.Ports))
        {
            json.WriteStartObject();
            json.WriteString("app", route.Spec.App.Path);
            json.WriteNumber("port", route.Spec.Index);
            json.WriteNumber("requests", route.Tally.Requests);
            json.WriteNumber("retries", route.Tally.Retries);
            json.WriteStartObject("failures");
            foreach (var kind in Enum.GetValues<Failure>()) json.WriteNumber(JsonNamingPolicy.CamelCase.ConvertName($"{kind}"), route.Tally.Failures(kind));
            json.WriteEndObject();
            json.WriteStartArray("instances");
            foreach (var target in route.Targets)
            {
                json.WriteStartObject();
                json.WriteString("instance", target.Upstream.Instance.Text);
                json.WriteNumber("requests", target.Upstream.Requests);
                json.WriteNumber("failures", target.Upstream.Failures);
                json.WriteNumber("inFlight", target.Upstream.InFlight);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteRevisions(Utf8JsonWriter json, EdgeProxy proxy)
    {
        var state = proxy.Views.Current;
        json.WriteStartObject();
        json.WriteNumber("servedByAll", state.ServedByAll);
        json.WriteStartObject("served");
        foreach (var (view, cursor) in state.Served)
        {
            json.WriteStartObject(view);
            json.WriteString("epoch", cursor.Epoch);
            json.WriteNumber("revision", cursor.Revision);
            json.WriteNumber("forSeconds", Math.Round(proxy.Views.SinceServed(state, view).TotalSeconds, 3));
            json.WriteEndObject();
        }
        json.WriteEndObject();
        // How old all of that may be: what changed since a scheduler was last heard is not known here.
        if (proxy.Views.Silence() is { } silence) json.WriteNumber("schedulerSilentSeconds", Math.Round(silence.TotalSeconds, 3));
        else json.WriteNull("schedulerSilentSeconds");
        json.WriteStartArray("problems");
        foreach (var ((view, what), why) in state.Problems)
        {
            json.WriteStartObject();
            json.WriteString("view", view);
            json.WriteString("what", what);
            json.WriteString("why", why);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("draining");
        foreach (var instance in state.Draining) json.WriteStringValue(instance.Text);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>The columns of HAProxy's statistics that Marathon-LB's tools read.</summary>
    private static string Csv(RouteTable table)
    {
        var csv = new StringBuilder("# pxname,svname,qcur,scur,stot,econ,status\n");
        foreach (var route in table.Apps.SelectMany(x => x.Ports))
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"{route.Spec.App.Underscored}_{route.Spec.ServicePort}");
            var inFlight = 0;
            foreach (var target in route.Targets)
            {
                var up = target.Upstream;
                inFlight += up.InFlight;
                var server = string.Create(CultureInfo.InvariantCulture, $"{target.Host}_{target.Port}").Replace('.', '_').Replace(':', '_');
                csv.Append(CultureInfo.InvariantCulture, $"{name},{server},0,{up.InFlight},{up.Requests},{up.Failures},UP\n");
            }
            var status = route.Targets.IsEmpty ? "DOWN" : "UP";
            csv.Append(CultureInfo.InvariantCulture, $"{name},BACKEND,0,{inFlight},{route.Tally.Requests},{route.Tally.Failures(Failure.Connect)},{status}\n");
        }
        return csv.ToString();
    }

    private static Task TextAsync(HttpContext context, string text)
    {
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(text);
    }

    private static async Task JsonAsync(HttpContext context, Action<Utf8JsonWriter> write)
    {
        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter, new JsonWriterOptions { Indented = true });
        write(json);
        await json.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }
}
