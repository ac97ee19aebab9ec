using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.StaticFiles;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;
using Platform.Scheduler.Artifacts;

namespace Platform.Scheduler.Api;

/// <summary>/v2/artifacts (contract 7.2). Bodies stream in both directions, and only the store's quota bounds them.</summary>
internal sealed class ArtifactsEndpoints(ArtifactStore store)
{
    private const string NoFilePart = "Please use 'file' as form parameter name!";
    private const int PartsMax = 32;
    private static readonly FileExtensionContentTypeProvider ContentTypes = new();

    public Answer Get(Call call, string[] names)
    {
        if (ArtifactStore.PathOf(names, out var why) is not { } path) return Answer.Message(422, why!);
        if (store.Open(path) is not { } file) return Answer.NotFound($"No artifact with path {path}");
        var type = ContentTypes.TryGetContentType(path, out var known) ? known : "application/octet-stream";
        // What users put there must not run with this door's rights in a browser.
        call.Http.Response.Headers.ContentSecurityPolicy = "sandbox";
        var stream = Results.Stream(file, type, lastModified: File.GetLastWriteTimeUtc(file.SafeFileHandle), enableRangeProcessing: true);
        return new Answer(200) { Follow = () => stream.ExecuteAsync(call.Http) };
    }

    public Answer Delete(string[] names)
    {
        if (ArtifactStore.PathOf(names, out var why) is not { } path) return Answer.Message(422, why!);
        store.Delete(path);
        return new Answer(200);
    }

    /// <summary>Under the name of the file that comes.</summary>
    public Task<Answer> PostAsync(Call call) => PutAsync(call, (string?)null);

    public async Task<Answer> PutAsync(Call call, string[] names) => ArtifactStore.PathOf(names, out var why) is { } path
        ? await PutAsync(call, path).ConfigureAwait(false)
        : Answer.Message(422, why!);

    /// <param name="path">Null: the name of the file that comes is its path.</param>
    private async Task<Answer> PutAsync(Call call, string? path)
    {
        if (call.Http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature) feature.MaxRequestBodySize = null;
        var content = call.Http.Request.Body;
        if (Boundary(call.Http.Request.ContentType) is { } boundary)
        {
            var (part, name) = await FilePartAsync(new MultipartReader(boundary, content), call.Http.RequestAborted).ConfigureAwait(false);
            if (part is null) return Answer.Message(422, NoFilePart);
            content = part;
            path ??= name;
        }
        else if (path is null) return Answer.Message(422, NoFilePart);
        if (ArtifactStore.PathOf((path ?? "").TrimStart('/').Split('/'), out var why) is not { } clean) return Answer.Message(422, why!);
        return await store.PutAsync(clean, content, call.Http.RequestAborted).ConfigureAwait(false) switch
        {
            StoreOutcome.Stored x => new Answer(x.Created ? 201 : 200) { Location = call.UrlOfArtifact(x.Path) },
            StoreOutcome.Full x => Answer.Message(507, x.Why) with { Close = true },
            StoreOutcome.Refused x => Answer.Message(422, x.Why),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    private static string? Boundary(string? contentType) =>
        MediaTypeHeaderValue.TryParse(contentType, out var type) && type.MediaType.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase)
            ? HeaderUtilities.RemoveQuotes(type.Boundary).Value ?? ""
            : null;

    private static async Task<(Stream? Part, string? Name)> FilePartAsync(MultipartReader parts, CancellationToken aborted)
    {
        try
        {
            for (var i = 0; i < PartsMax && await parts.ReadNextSectionAsync(aborted).ConfigureAwait(false) is { } part; i++)
            {
                if (!ContentDispositionHeaderValue.TryParse(part.ContentDisposition, out var disposition)) continue;
                if (HeaderUtilities.RemoveQuotes(disposition.Name).Value != "file") continue;
                var name = disposition.FileNameStar.HasValue ? disposition.FileNameStar : disposition.FileName;
                return (part.Body, HeaderUtilities.RemoveQuotes(name).Value);
            }
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentException or IOException && !aborted.IsCancellationRequested)
        {
            throw new BadHttpRequestException($"The multipart body cannot be read: {e.Message}", StatusCodes.Status400BadRequest);
        }
        return (null, null);
    }
}
