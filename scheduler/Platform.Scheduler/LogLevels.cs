using System.Collections.Concurrent;
using System.Collections.Immutable;
using Microsoft.Extensions.Logging;

namespace Platform.Scheduler;

/// <summary>One logger, that is a category of log lines, and from which level on it is heard.</summary>
/// <param name="Inherited">Nothing was said of it itself, but of a logger above it.</param>
public readonly record struct LoggerLevel(string Logger, LogLevel Level, bool Inherited);

/// <summary>
/// From which level on each category is heard, changeable while everything runs (contract 1.9, /logging). A category without a level of its
/// own has that of the longest name before one of its dots, in the end that of <see cref="Root"/>.
/// </summary>
public sealed class LogLevels(TimeProvider time) : IDisposable
{
    public const string Root = "ROOT";
    public const int NameLengthMax = 255;
    public const int LoggersMax = 1000;

    /// <summary>A change for longer than this is one for good; timers end not far beyond.</summary>
    public static readonly TimeSpan DurationMax = TimeSpan.FromDays(30);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, (ITimer Timer, LogLevel? Before)> _endings = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, LogLevel> _effective = new(StringComparer.Ordinal);

    private ImmutableSortedDictionary<string, LogLevel> _own = ImmutableSortedDictionary.Create<string, LogLevel>(StringComparer.Ordinal)
        .Add(Root, LogLevel.Information).Add("Microsoft", LogLevel.Warning).Add("Grpc", LogLevel.Warning);

    public bool IsEnabled(string? category, LogLevel level) => level >= _effective.GetOrAdd(category ?? Root, LevelOf);

    /// <summary>Every logger that has a level of its own or has been asked for one.</summary>
    public IEnumerable<LoggerLevel> All => _own.Keys.Concat(_effective.Keys).Distinct().Order(StringComparer.Ordinal)
        .Select(name => new LoggerLevel(name, LevelOf(name), !_own.ContainsKey(name)));

    /// <summary>False, and nothing has changed, if too many loggers have a level of their own.</summary>
    /// <param name="duration">After this the logger is as it was before; null = for good.</param>
    public bool TrySet(string logger, LogLevel level, TimeSpan? duration)
    {
        lock (_lock)
        {
            if (_own.Count >= LoggersMax && !_own.ContainsKey(logger)) return false;
            LogLevel? before = _own.TryGetValue(logger, out var own) ? own : null;
            if (_endings.Remove(logger, out var ending))
            {
                ending.Timer.Dispose();
                before = ending.Before; // a second change for a while must not make the first one last
            }
            Change(_own.SetItem(logger, level));
            if (duration is { } length) _endings[logger] = (time.CreateTimer(_ => Restore(logger), null, length, Timeout.InfiniteTimeSpan), before);
            return true;
        }
    }

    public void Dispose()
    {
        lock (_lock)
            foreach (var (timer, _) in _endings.Values) timer.Dispose();
    }

    private void Restore(string logger)
    {
        lock (_lock)
        {
            if (!_endings.Remove(logger, out var ending)) return;
            ending.Timer.Dispose();
            Change(ending.Before is { } before ? _own.SetItem(logger, before) : _own.Remove(logger));
        }
    }

    private void Change(ImmutableSortedDictionary<string, LogLevel> own)
    {
        _own = own;
        foreach (var name in _effective.Keys) _effective[name] = LevelOf(name);
    }

    private LogLevel LevelOf(string category)
    {
        var own = _own;
        for (var name = category; ; name = name[..name.LastIndexOf('.')])
        {
            if (own.TryGetValue(name, out var level)) return level;
            if (!name.Contains('.', StringComparison.Ordinal)) return own[Root];
        }
    }
}
