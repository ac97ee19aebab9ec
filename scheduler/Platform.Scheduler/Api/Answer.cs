using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>
/// What a request comes to, as data; <see cref="Answers"/> puts it on the wire. A JSON body is a sequence of parts, so that a long list
/// can be sent while it is being written.
/// </summary>
internal sealed record Answer(int Status)
{
    public IEnumerable<Action<Utf8JsonWriter>>? Json { get; init; }
    public string? Text { get; init; }
    public string TextType { get; init; } = "text/plain; charset=utf-8";

    /// <summary>Instead of a body: sends for as long as there is something to send.</summary>
    public Func<Task>? Follow { get; init; }

    /// <summary>Instead of an answer: what it will be, when there is something to tell. Waiting is not counted as being at work.</summary>
    public Func<Task<Answer>>? Later { get; init; }

    /// <summary>Where the endpoint table stood that the answer tells of.</summary>
    public EndpointCursor? Endpoints { get; init; }

    public string? Location { get; init; }
    public string? DeploymentId { get; init; }
    public string? Allow { get; init; }

    /// <summary>The version of what was read or written, as a strong entity tag without its quotes.</summary>
    public AppVersion? Tag { get; init; }

    /// <summary>How to say who one is, where that is asked for.</summary>
    public string? Challenge { get; init; }
    public int? RetryAfterSeconds { get; init; }

    /// <summary>The rest of the request's body is not worth waiting for.</summary>
    public bool Close { get; init; }

    public static Answer Of(int status, Action<Utf8JsonWriter> body) => new(status) { Json = [body] };

    /// <summary><c>{"name":[…]}</c>, one part for each item.</summary>
    public static Answer List<T>(string name, IEnumerable<T> items, Action<Utf8JsonWriter, T> write) => new(200) { Json = Parts(name, items, write) };

    /// <summary>An array without a name around it.</summary>
    public static Answer BareList<T>(IEnumerable<T> items, Action<Utf8JsonWriter, T> write) => new(200) { Json = Parts(null, items, write) };

    public static Answer Message(int status, string message) => Of(status, writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("message", message);
        writer.WriteEndObject();
    });

    /// <summary>JSON that comes with the program, under its name in the folder Resources.</summary>
    public static Answer Document(string name) => Of(200, writer => writer.WriteRawValue(Embedded.Read(name)));

    public static Answer NotFound(string message) => Message(404, message);

    public static Answer NotAllowed(string allow, string? message = null) =>
        Message(405, message ?? $"This resource knows only {allow}") with { Allow = allow };

    /// <summary>400 for a body that is no JSON: the parser's words are one string (contract 1.2).</summary>
    public static Answer Unparsable(string message, string why) => Of(400, writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("message", message);
        writer.WriteString("details", why);
        writer.WriteEndObject();
    });

    public static Answer WrongShape(params ReadOnlySpan<Problem> problems)
    {
        var refusal = new Refusal(RefusalFamily.InvalidJson, EquatableArray.Create(problems));
        return Of(422, refusal.Write);
    }

    /// <summary>The one place where a refusal becomes a status (contract 1.2).</summary>
    public static Answer Of(Rejection rejection) => rejection.Code switch
    {
        RejectCode.WrongShape => Of(422, new Refusal(RefusalFamily.InvalidJson, rejection.Details).Write),
        RejectCode.NotValid => Of(422, new Refusal(RefusalFamily.ObjectNotValid, rejection.Details).Write),
        RejectCode.BadArgument => Message(422, rejection.Message),
        RejectCode.BadRequest => Message(400, rejection.Message),
        RejectCode.Exists or RejectCode.InUse => Message(409, rejection.Message),
        RejectCode.Locked => Of(409, writer => WriteLocked(writer, rejection)),
        RejectCode.NotFound => NotFound(rejection.Message),
        RejectCode.TooMany => Message(403, rejection.Message),
        RejectCode.Mismatch => Message(412, rejection.Message) with { Tag = rejection.Version },
        _ => throw new System.Diagnostics.UnreachableException($"{rejection}"),
    };

    /// <summary>The deployment result (contract 1.3).</summary>
    public static Answer Deployment(Reply reply, int status = 200) => Of(status, writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("version", reply.Version.ToString());
        writer.WriteString("deploymentId", reply.Deployment);
        writer.WriteEndObject();
    }) with { DeploymentId = reply.Deployment, Tag = reply.VersionAfter };

    private static IEnumerable<Action<Utf8JsonWriter>> Parts<T>(string? name, IEnumerable<T> items, Action<Utf8JsonWriter, T> write)
    {
        yield return writer =>
        {
            if (name is not null)
            {
                writer.WriteStartObject();
                writer.WritePropertyName(name);
            }
            writer.WriteStartArray();
        };
        foreach (var item in items) yield return writer => write(writer, item);
        yield return writer =>
        {
            writer.WriteEndArray();
            if (name is not null) writer.WriteEndObject();
        };
    }

    private static void WriteLocked(Utf8JsonWriter writer, Rejection rejection)
    {
        writer.WriteStartObject();
        writer.WriteString("message", rejection.Message);
        writer.WriteStartArray("deployments");
        foreach (var id in rejection.Deployments)
        {
            writer.WriteStartObject();
            writer.WriteString("id", id);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
