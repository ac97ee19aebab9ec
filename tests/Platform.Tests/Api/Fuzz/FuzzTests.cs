using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduling;
using Xunit.Abstractions;

namespace Platform.Tests.Api.Fuzz;

/// <summary>
/// Contract 1.2, by numbers: whatever comes in through the REST door is answered by 2xx or by 4xx in the contract's form, soon, and what is refused
/// leaves nothing behind. A run is its seed: <c>PLATFORM_FUZZ_SEED</c> and <c>PLATFORM_FUZZ_COUNT</c> repeat it.
/// </summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    /// <summary>The same every time, so that a failure is of a change and not of the day.</summary>
    private const ulong SeedOfTheSuite = 1856160590;

    /// <summary>Each takes its requests one by one, so that it is plain which of them changed the state; a fixed number, so that a seed is a run.</summary>
    private const int Worlds = 4;

    private const int SettleEvery = 50;
    private const int ClearEvery = 500;

    private static readonly TimeSpan AnswerMax = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task Nothing_a_client_sends_gets_a_5xx_or_leaves_a_trace_when_refused()
    {
        var seed = ulong.TryParse(Environment.GetEnvironmentVariable("PLATFORM_FUZZ_SEED"), CultureInfo.InvariantCulture, out var given) ? given : SeedOfTheSuite;
        var count = int.TryParse(Environment.GetEnvironmentVariable("PLATFORM_FUZZ_COUNT"), CultureInfo.InvariantCulture, out var asked) ? asked : 50_000;
        using var stopping = new CancellationTokenSource();
        var runs = await Task.WhenAll(Enumerable.Range(0, Worlds).Select(w => Task.Run(() => RunAsync(seed, w, count, stopping))));
        var statuses = runs.SelectMany(r => r.Statuses).GroupBy(s => s.Key, s => s.Value).OrderBy(g => g.Key).Select(g => $"{(int)g.Key}: {g.Sum()}");
        output.WriteLine($"seed {seed}, {count} requests; {string.Join(", ", statuses)}");
        var failures = runs.Select(r => r.Failure).OfType<string>().ToList();
        Assert.True(failures.Count == 0, $"{string.Join("\n\n", failures)}\n\nagain: PLATFORM_FUZZ_SEED={seed} PLATFORM_FUZZ_COUNT={count}");
        if (count >= 10_000) Assert.True(runs.Sum(r => r.Statuses.Where(s => (int)s.Key < 300).Sum(s => s.Value)) > count / 20, "hardly anything was accepted: the fuzz no longer reaches what lies behind the reading of bodies");
    }

    private static async Task<Run> RunAsync(ulong seed, int number, int count, CancellationTokenSource stopping)
    {
        await using var world = await ApiWorld.StartAsync();
        world.Http.Timeout = AnswerMax;
        var run = new Run(world);
        for (var index = number; index < count && !stopping.IsCancellationRequested; index += Worlds)
        {
            var request = FuzzedRequests.Draw(seed, index, world.State);
            try
            {
                await run.SendAsync(request);
                if (index / Worlds % SettleEvery == SettleEvery - 1) await world.SettleAsync();
                if (index / Worlds % ClearEvery == ClearEvery - 1) await run.ClearAsync();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                run.Failure = $"request {index}: {(e is BrokenException ? e.Message : e)}\n{request}";
                await stopping.CancelAsync();
                return run;
            }
        }
        await run.CheckLogAsync();
        return run;
    }

    private sealed class Run(ApiWorld world)
    {
        public Dictionary<HttpStatusCode, int> Statuses { get; } = [];
        public string? Failure { get; set; }

        public async Task SendAsync(FuzzedRequest request)
        {
            world.Published.Clear();
            var before = world.State.Revision;
            using var message = Message(request);
            using var response = await world.Http.SendAsync(message);
            var body = await TextAsync(response);
            Statuses[response.StatusCode] = Statuses.GetValueOrDefault(response.StatusCode) + 1;
            var status = (int)response.StatusCode;
            if (status is < 200 or > 299 and < 400 or > 499) throw new BrokenException($"answered {status}: {body}");
            if (body.Contains(GoodBodies.SecretMark, StringComparison.Ordinal)) throw new BrokenException($"answered {status} with a secret in it: {body}");
            var isJson = response.Content.Headers.ContentType?.MediaType == "application/json";
            if (status < 300)
            {
                if (isJson && body.Length > 0) JsonNode.Parse(body);
                if (response.Headers.TryGetValues("Marathon-Deployment-Id", out var ids) && !world.Published.Any(f => f.Event is SchedulerEvent.DeploymentStarted x && x.Deployment.Id == ids.Single()))
                    throw new BrokenException($"the deployment {ids.Single()} of the answer was never begun");
                if (request.IsDryRun && !world.Published.IsEmpty) throw new BrokenException($"is a dry run, and yet {string.Join(", ", world.Published.Select(f => f.Event))} came of it");
                await SubsideAsync(before);
                return;
            }
            if (world.State.Revision != before || !world.Published.IsEmpty) throw new BrokenException($"was refused with {status}, and yet {string.Join(", ", world.Published.Select(f => f.Event))} came of it: {body}");
            if (FormOf(response, body, isJson) is { } wrong) throw new BrokenException($"{wrong}: {status} {response.Content.Headers.ContentType} {body}");
        }

        /// <summary>What follows from it by itself has happened too, so that nothing of it is laid at the next request's door.</summary>
        private async Task SubsideAsync(long before)
        {
            for (var last = before; last != world.State.Revision;)
            {
                last = world.State.Revision;
                await world.HeardAsync();
            }
        }

        /// <summary>What was accepted can be taken back: everything goes, and the nodes are empty.</summary>
        public async Task ClearAsync()
        {
            foreach (var app in world.State.Apps.Values.Where(a => !a.Removing).Select(a => a.Definition.Id).ToList())
            {
                var answer = await world.DeleteAsync($"/v2/apps{app}?force=true");
                if (answer.Status != HttpStatusCode.OK) throw new BrokenException($"{app} is not deleted: {(int)answer.Status} {answer.Body}; there are {string.Join(' ', world.State.Apps.Select(a => $"{a.Key}={a.Value.Definition.Id}{(a.Value.Removing ? " on its way out" : "")}"))}");
            }
            (await world.DeleteAsync("/v2/groups?force=true")).Must(HttpStatusCode.OK);
            await world.SettleAsync();
            var left = world.State;
            if (left.Apps.Count + left.Owners.Count + left.Deployments.Count > 0)
                throw new BrokenException($"after everything was deleted there are {string.Join(' ', left.Apps.Keys)}, {left.Owners.Count} instances, {left.Deployments.Count} deployments");
            if (left.Nodes.Values.Any(n => n.Used.Cpus > 1e-6 || !n.UsedPorts.IsEmpty)) throw new BrokenException("the nodes are empty, and yet something is taken on them");
        }

        /// <summary>Whatever got into the log can be read again, to the same state.</summary>
        public async Task CheckLogAsync()
        {
            await world.HeardAsync();
            var read = await world.StoredAsync();
            if (!SchedulerJson.Write(read).AsSpan().SequenceEqual(SchedulerJson.Write(world.State))) Failure = "the log, read again, is another state";
        }

        private HttpRequestMessage Message(FuzzedRequest request)
        {
            var target = new Uri($"http://{world.Authority}{request.Target}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });
            var message = new HttpRequestMessage(new HttpMethod(request.Method), target);
            if (request.Body is { } body)
            {
                message.Content = new ByteArrayContent(body);
                if (request.ContentType is { } type) message.Content.Headers.TryAddWithoutValidation("Content-Type", type);
                if (request.IsChunked) message.Headers.TransferEncodingChunked = true;
            }
            if (request.Header is var (name, value)) (message.Content is { } content && name.StartsWith("Content-", StringComparison.Ordinal) ? content.Headers : (HttpHeaders)message.Headers).TryAddWithoutValidation(name, value);
            return message;
        }

        private static async Task<string> TextAsync(HttpResponseMessage response)
        {
            if (!response.Content.Headers.ContentEncoding.Contains("gzip")) return await response.Content.ReadAsStringAsync();
            using var text = new StreamReader(new GZipStream(await response.Content.ReadAsStreamAsync(), CompressionMode.Decompress));
            return await text.ReadToEndAsync();
        }

        /// <summary>Null if the refusal reads as contract 1.2 has it.</summary>
        private static string? FormOf(HttpResponseMessage response, string body, bool isJson)
        {
            if (!response.Headers.Contains("X-Marathon-Leader")) return response.StatusCode == HttpStatusCode.BadRequest ? null : "not our answer"; // no request at all: refused by the server below
            if (!isJson || JsonNode.Parse(body) is not JsonObject refusal) return "no JSON object";
            if (refusal["message"]?.GetValueKind() != System.Text.Json.JsonValueKind.String || refusal["message"]!.GetValue<string>().Length == 0) return "no message";
            if (refusal.Select(m => m.Key).Except(["message", "details", "deployments"]).Any()) return "members the contract does not know";
            var details = refusal["details"];
            return ((int)response.StatusCode, refusal["message"]!.GetValue<string>()) switch
            {
                (400, "Invalid JSON" or "Please specify data in JSON format") => details is JsonValue ? null : "details must be a string",
                (422, "Invalid JSON" or "Object is not valid") => details is JsonArray { Count: > 0 } items && items.All(IsDetail) ? null : "details must be paths with errors",
                (409, _) when refusal["deployments"] is { } locks => locks is JsonArray { Count: > 0 } ? null : "deployments must name some",
                (405, _) => response.Content.Headers.Allow.Count > 0 ? null : "no Allow",
                _ => details is null ? null : "details where the contract has none",
            };
        }

        private static bool IsDetail(JsonNode? item) =>
            item is JsonObject { Count: 2 } detail && detail["path"]?.GetValue<string>() is ['/', ..] && detail["errors"] is JsonArray { Count: > 0 } errors && errors.All(e => e?.GetValueKind() == System.Text.Json.JsonValueKind.String);
    }

    private sealed class BrokenException(string what) : Exception(what);
}
