using System.Text.Json;
using Microsoft.Extensions.Logging;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// Files of the user's own form, made of templates, each with what is to happen after a change. A template that is broken, or a file that its
/// check refuses, leaves the old file where it is, and the node says so. A view of its own: it has reached a revision when its files are made and
/// the commands have ended, well or not; so a task is stopped only after a proxy that is configured here has been told to let go of it.
/// </summary>
public sealed partial class FileTemplates
{
    public const string ViewName = "templates";
    private static readonly TimeSpan SourceLook = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan RetryFirst = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(60);

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly EndpointFilesOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly Dictionary<string, (DateTime WrittenAt, LiquidText? Text, string? Why)> _sources = new(StringComparer.Ordinal);

    /// <summary>Every file made, by the template's destination: those of apps that are gone are removed.</summary>
    private SortedDictionary<string, SortedSet<string>> _made = new(StringComparer.Ordinal);

    /// <summary>Templates whose last change is not told yet: their command failed.</summary>
    private readonly HashSet<FileTemplate> _untold = [];

    private readonly HashSet<FileTemplate> _broken = [];

    /// <summary>The disk refused something, which may pass by itself.</summary>
    private bool _again;

    public FileTemplates(EndpointFeed feed, NodeViews views, EndpointFilesOptions options, ILoggerFactory loggers, TimeProvider? time = null)
    {
        (_feed, _views, _options) = (feed, views, options);
        _logger = loggers.CreateLogger<FileTemplates>();
        _time = time ?? TimeProvider.System;
        if (!options.Templates.IsEmpty) views.Expect(ViewName);
    }

    /// <summary>Follows the table, and the templates' own files, until told to stop.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var cursor = EndpointCursor.Start;
        var retry = RetryFirst;
        try
        {
            if (_options.Templates.IsEmpty) await Task.Delay(Timeout.Infinite, stopping).ConfigureAwait(false);
            Remember();
            await _feed.ChangedAsync(cursor, stopping).ConfigureAwait(false); // nothing is made of a table that was never heard
            while (true)
            {
                var snapshot = _feed.Current;
                await ApplyAsync(snapshot, stopping).ConfigureAwait(false);
                cursor = snapshot.Cursor;
                _views.Served(ViewName, cursor);
                var failed = _again || _untold.Count > 0;
                await WaitAsync(cursor, failed, retry, stopping).ConfigureAwait(false);
                retry = failed && retry * 2 < RetryMax ? retry * 2 : failed ? RetryMax : RetryFirst;
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The files stay: what they say is the last that was known.
        }
    }

    /// <summary>Until the table or a template has changed, or what failed is due again.</summary>
    private async Task WaitAsync(EndpointCursor cursor, bool failed, TimeSpan retry, CancellationToken stopping)
    {
        var since = _time.GetTimestamp();
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Task changed = _feed.ChangedAsync(cursor, waiting.Token).AsTask();
        while (!changed.IsCompleted && !_sources.Any(x => WrittenAt(x.Key) != x.Value.WrittenAt) && !(failed && _time.GetElapsedTime(since) >= retry))
            await Task.WhenAny(changed, Task.Delay(failed && retry < SourceLook ? retry : SourceLook, _time, waiting.Token)).ConfigureAwait(false);
        await waiting.CancelAsync().ConfigureAwait(false);
        stopping.ThrowIfCancellationRequested();
    }

    private static DateTime WrittenAt(string path) => File.GetLastWriteTimeUtc(path); // long ago for one that is not there

    private async Task ApplyAsync(EndpointSnapshot snapshot, CancellationToken stopping)
    {
        Dictionary<string, object?>? model = null;
        _again = false;
        foreach (var template in _options.Templates)
        {
            string? why = null;
            try
            {
                model ??= TemplateModel.Of(snapshot, _options.Domain, _options.Node);
                if (await MakeAsync(template, snapshot, model, stopping).ConfigureAwait(false)) _untold.Add(template);
            }
            catch (Exception e) when (e is TemplateBrokenException or IOException or UnauthorizedAccessException)
            {
                why = e.Message;
                _again |= e is not TemplateBrokenException;
                if (_broken.Add(template)) Broken(template.Source, template.Destination, why);
            }
            if (why is null) _broken.Remove(template);
            _views.Problem(ViewName, template.Destination, why is null ? null : $"{why}; the file is as it was");
        }
        foreach (var (command, templates) in _untold.Where(x => !x.Command.IsEmpty).GroupBy(x => x.Command).Select(x => (x.Key, x.ToArray())).ToList())
            Told(templates, "command", await FileCommand.RunAsync(command, templates.Max(x => x.Patience), null, stopping).ConfigureAwait(false));
        foreach (var template in _untold.Where(x => x.Signal is not null).ToList())
            Told([template], "signal", FileCommand.Signal(template.PidFile!, template.Signal!.Value));
        _untold.RemoveWhere(x => x.Command.IsEmpty && x.Signal is null);
    }

    private void Told(FileTemplate[] templates, string how, string? failure)
    {
        foreach (var template in templates)
        {
            if (failure is null) _untold.Remove(template);
            else NotTold(template.Destination, how, failure);
            _views.Problem(ViewName, $"{how} after {template.Destination}", failure);
        }
    }

    /// <summary>Whether any file of it has changed.</summary>
    private async Task<bool> MakeAsync(FileTemplate template, EndpointSnapshot snapshot, Dictionary<string, object?> model, CancellationToken stopping)
    {
        var text = Source(template.Source);
        if (!template.ForEachApp) return await PutAsync(template, template.Destination, await text.RenderAsync(model).ConfigureAwait(false), stopping).ConfigureAwait(false);
        var changed = false;
        var wanted = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var (app, entry) in snapshot.Services)
        {
            if (template.Within is { } group && !app.IsWithin(group)) continue;
            var path = template.Destination.Replace(FileTemplate.AppPlace, app.Underscored, StringComparison.Ordinal);
            wanted.Add(path);
            var ofApp = new Dictionary<string, object?>(model) { ["app"] = TemplateModel.App(entry, _options.Domain) };
            changed |= await PutAsync(template, path, await text.RenderAsync(ofApp).ConfigureAwait(false), stopping).ConfigureAwait(false);
        }
        var before = _made.GetValueOrDefault(template.Destination) ?? [];
        foreach (var gone in before.Except(wanted))
        {
            File.Delete(gone);
            changed = true;
        }
        if (before.SetEquals(wanted)) return changed;
        _made[template.Destination] = wanted;
        SaveMemory();
        return changed;
    }

    private LiquidText Source(string path)
    {
        var writtenAt = WrittenAt(path);
        if (!_sources.TryGetValue(path, out var known) || known.WrittenAt != writtenAt) _sources[path] = known = Read(path, writtenAt);
        return known.Text ?? throw new TemplateBrokenException(known.Why!);
    }

    private static (DateTime WrittenAt, LiquidText? Text, string? Why) Read(string path, DateTime writtenAt)
    {
        try
        {
            return (writtenAt, LiquidText.Parse(File.ReadAllText(path)), null);
        }
        catch (Exception e) when (e is TemplateBrokenException or IOException or UnauthorizedAccessException)
        {
            return (writtenAt, null, e.Message);
        }
    }

    private static async Task<bool> PutAsync(FileTemplate template, string path, byte[] content, CancellationToken stopping)
    {
        if (File.Exists(path) && (await File.ReadAllBytesAsync(path, stopping).ConfigureAwait(false)).AsSpan().SequenceEqual(content))
        {
            if (template.Rights != FileRights.Default) template.Rights.Give(path);
            return false;
        }
        var directory = Path.GetDirectoryName(path)!;
        Directory.CreateDirectory(directory);
        var staged = Path.Combine(directory, $".{Path.GetFileName(path)}.new");
        try
        {
            await using (var file = new FileStream(staged, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                await file.WriteAsync(content, stopping).ConfigureAwait(false);
                file.Flush(flushToDisk: true);
            }
            template.Rights.Give(staged);
            if (!template.Check.IsEmpty && await FileCommand.RunAsync(template.Check, template.Patience, staged, stopping).ConfigureAwait(false) is { } failure)
                throw new TemplateBrokenException($"its check refuses it: {failure}");
            if (!Posix.Rename(staged, path)) throw new IOException($"{path} is a mount of its own and cannot be replaced: mount its directory");
            Posix.SyncDirectory(directory);
            return true;
        }
        finally
        {
            File.Delete(staged); // nothing, if it has been moved
        }
    }

    private void Remember()
    {
        if (_options.TemplateMemory is not { } path || !File.Exists(path)) return;
        try
        {
            _made = JsonSerializer.Deserialize<SortedDictionary<string, SortedSet<string>>>(File.ReadAllBytes(path)) ?? _made;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            Forgotten(path, e.Message);
        }
    }

    private void SaveMemory()
    {
        if (_options.TemplateMemory is not { } path) return;
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path + ".new", JsonSerializer.SerializeToUtf8Bytes(_made));
        Posix.Rename(path + ".new", path);
    }

    [LoggerMessage(5411, LogLevel.Error, "Template {Source} is broken, and {Destination} is as it was: {Why}")]
    private partial void Broken(string source, string destination, string why);

    [LoggerMessage(5412, LogLevel.Warning, "{Destination} has changed, and its {How} failed; again in a while: {Why}")]
    private partial void NotTold(string destination, string how, string why);

    [LoggerMessage(5413, LogLevel.Warning, "{Path} cannot be read ({Why}): files that templates made for apps that are gone may stay")]
    private partial void Forgotten(string path, string why);
}
