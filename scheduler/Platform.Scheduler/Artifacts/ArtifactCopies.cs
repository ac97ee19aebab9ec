using System.Text.Json;
using Platform.Model;
using Platform.Protocol.Transfer;

namespace Platform.Scheduler.Artifacts;

/// <summary>
/// Copies what <c>storeUrls</c> names into the store before the change is decided (contract 7.2): a URL that cannot be had refuses the change, and a
/// deployment never waits for one.
/// </summary>
public sealed class ArtifactCopies(ArtifactStore store, HttpDownload http)
{
    private static readonly TimeSpan CopyMax = TimeSpan.FromMinutes(10);

    /// <summary>The URLs in one app's body, if they are what they should be; the rest is for the body's reader to refuse.</summary>
    public static IReadOnlyList<string> UrlsOf(JsonElement app)
    {
        if (app.ValueKind != JsonValueKind.Object || !app.TryGetProperty("storeUrls", out var urls) || urls.ValueKind != JsonValueKind.Array) return [];
        var texts = urls.EnumerateArray().Where(x => x.ValueKind == JsonValueKind.String).Select(x => x.GetString()!).Distinct().ToList();
        return texts.Count <= AppLimits.FetchMax
            ? texts.FindAll(x => FetchUri.Parse(x, out _) is { IsFile: false } && ArtifactStore.PathOf([FetchUri.Of(x).FileName], out _) is not null)
            : [];
    }

    /// <summary>URL → path of its copy in the store; or every problem.</summary>
    public async Task<(IReadOnlyDictionary<string, string> Paths, EquatableArray<Problem> Problems)> CopyAsync(IReadOnlyList<string> urls, CancellationToken cancelled)
    {
        var paths = new Dictionary<string, string>(StringComparer.Ordinal);
        var problems = new List<Problem>();
        for (var i = 0; i < urls.Count; i++)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancelled);
            limit.CancelAfter(CopyMax);
            var url = urls[i];
            try
            {
                var outcome = await store.PutByContentAsync(
                    FetchUri.Of(url).FileName, (to, bytesMax) => http.CopyAsync(new Uri(url), to, bytesMax, null, limit.Token), limit.Token).ConfigureAwait(false);
                if (outcome is StoreOutcome.Stored stored) paths[url] = stored.Path;
                else problems.Add(new Problem($"/storeUrls({i})", $"{url}: {(outcome is StoreOutcome.Full full ? full.Why : ((StoreOutcome.Refused)outcome).Why)}"));
            }
            catch (DownloadException e)
            {
                problems.Add(new Problem($"/storeUrls({i})", $"{url}: {e.Message}"));
            }
            catch (OperationCanceledException) when (!cancelled.IsCancellationRequested)
            {
                problems.Add(new Problem($"/storeUrls({i})", $"{url}: it did not arrive within {CopyMax.TotalMinutes} minutes"));
            }
        }
        return (paths, problems.ToEquatableArray());
    }
}
