using System.Text.Json;

namespace Platform.Model;

/// <summary>What became of an app that somebody sent us.</summary>
public abstract record ReadResult
{
    private ReadResult() { }

    /// <summary>Complete and valid: every rule that needs only the app itself holds.</summary>
    public sealed record App(AppDefinition Definition) : ReadResult;

    /// <summary><c>{"version": ts}</c>: make the app again what it was then (contract 1.4).</summary>
    public sealed record Rollback(AppVersion Version) : ReadResult;

    public sealed record Refused(Refusal Refusal) : ReadResult;
}

/// <summary>
/// The two families of a 422 (contract 1.2). A value that cannot be read hides what the rules would say; one that is merely out of range does not:
/// it is told together with them, under the first family's name.
/// </summary>
public enum RefusalFamily { InvalidJson, ObjectNotValid }

/// <summary>Every problem of one family at once, up to <see cref="AppLimits.ProblemsMax"/>.</summary>
public sealed record Refusal(RefusalFamily Family, EquatableArray<Problem> Problems)
{
    public string Message => Family == RefusalFamily.InvalidJson ? "Invalid JSON" : "Object is not valid";

    /// <summary>The body of the 422: problems with one path share one entry.</summary>
    public void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteString("message", Message);
        writer.WriteStartArray("details");
        foreach (var place in Problems.GroupBy(x => x.Path))
        {
            writer.WriteStartObject();
            writer.WriteString("path", place.Key);
            writer.WriteStartArray("errors");
            foreach (var problem in place) writer.WriteStringValue(problem.Reason);
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}

/// <summary>Collects what is wrong, with a bound: a body of a million bad items must not make an answer of a million lines.</summary>
internal sealed class ProblemList
{
    private readonly List<Problem> _problems = [];

    private int _outOfRange;

    public bool Any => _problems.Count > 0;

    /// <summary>Some value could not be read at all, so that what the rules say of the rest would be guesswork.</summary>
    public bool AnyMisread => _problems.Count > _outOfRange;

    public bool AnyOutOfRange => _outOfRange > 0;

    /// <summary>Of the right type, but too small or too large: the family is that of misread values, yet the rules still apply to the rest.</summary>
    public void AddOutOfRange(string path, string reason)
    {
        var before = _problems.Count;
        Add(path, reason);
        _outOfRange += _problems.Count - before;
    }

    public void Add(string path, string reason)
    {
        if (_problems.Count < AppLimits.ProblemsMax) _problems.Add(new Problem(path.Length == 0 ? "/" : path, reason));
    }

    public Refusal Refuse(RefusalFamily family) => new(family, [.. _problems.Distinct()]);
}
