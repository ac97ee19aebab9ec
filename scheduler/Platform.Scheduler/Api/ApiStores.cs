using System.Text.Json;
using Platform.Model;
using Platform.Scheduler.Artifacts;
using Platform.Scheduler.Link;
using Platform.Scheduler.Secrets;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>What the REST door keeps, and shows, beside the log.</summary>
public sealed record ApiStores(ArtifactStore Artifacts, ArtifactCopies Copies, SecretVault Secrets, PublishedEndpoints Endpoints)
{
    /// <summary>The fingerprint of the link's authority; null where machines cannot join.</summary>
    public string? Authority { get; init; }
}

/// <summary>Gives commands the copies of what their bodies' <c>storeUrls</c> name, or the answer that refuses them.</summary>
internal sealed class StoreUrlsDoor(ArtifactCopies copies, ApiOptions options)
{
    /// <param name="bodies">The body of each app that the command writes.</param>
    public async Task<(Command Command, Answer? Refusal)> ResolveAsync(Call call, Command command, params IEnumerable<JsonElement> bodies)
    {
        var urls = bodies.SelectMany(ArtifactCopies.UrlsOf).Distinct().ToList();
        if (urls.Count == 0) return (command, null);
        // A body that will be refused anyway must not fill the store first.
        if (bodies.Select(x => AppReader.Update(x, AppId.Parse("/nameless"), null, partial: true)).OfType<ReadResult.Refused>().Any(IsCertain)) return (command, null);
        var (paths, problems) = await copies.CopyAsync(urls, call.Http.RequestAborted).ConfigureAwait(false);
        if (problems.Count > 0) return (command, Answer.Of(new Rejection(RejectCode.NotValid, "") { Details = problems }));
        var root = $"{call.Http.Request.Scheme}://{Call.LeaderOf(call.Http, options)}/v2/artifacts/";
        return (command with { Artifacts = EquatableMap.From(paths.Select(x => KeyValuePair.Create(x.Key, root + string.Join('/', x.Value.Split('/').Select(Uri.EscapeDataString))))) }, null);
    }

    /// <summary>A partial update may be right over what is there, though it is not by itself: only what cannot be read at all is certain.</summary>
    private static bool IsCertain(ReadResult.Refused refused) => refused.Refusal.Family == RefusalFamily.InvalidJson || refused.Refusal.Problems.Any(x => x.Path.StartsWith("/storeUrls", StringComparison.Ordinal));
}
