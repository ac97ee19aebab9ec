namespace Platform.Scheduler.Api;

/// <summary>For those who come with a browser.</summary>
internal static class Pages
{
    public static Answer ToStart => new(302) { Location = "/ui/" };
    public static Answer ToReference => new(302) { Location = "/v2/openapi.json" };

    public static Answer Start => new(200)
    {
        TextType = "text/html; charset=utf-8",
        Text = """
            <!doctype html>
            <html lang="en"><head><title>Platform</title></head><body>
            <h1>Platform</h1>
            <p>There is no web interface yet. What the scheduler knows can be read here:</p>
            <ul>
            <li><a href="/v2/apps">apps</a>, <a href="/v2/tasks">tasks</a>, <a href="/v2/deployments">deployments</a>, <a href="/v2/queue">what waits, and why</a></li>
            <li><a href="/v2/info">this scheduler</a>, <a href="/metrics">its metrics</a>, <a href="/logging">its loggers</a>, <a href="/config">its configuration</a></li>
            <li><a href="/v2/openapi.json">the API, as OpenAPI</a>, <a href="/v2/schemas/app">an app, as JSON Schema</a></li>
            </ul>
            </body></html>

            """,
    };
}
