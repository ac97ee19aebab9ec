using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http;
using Platform.Model;
using Platform.Scheduler.Secrets;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>
/// /v2/secrets: an addition to the contract. <c>PUT /v2/secrets/{path}</c> takes the value, as it is or as JSON <c>{"value": …}</c>; what is answered
/// is names and times, never a value.
/// </summary>
internal sealed class SecretsEndpoints(CommandDoor door, SecretVault vault)
{
    private const int ValueBytesMax = 64 * 1024;

    public static Answer List(Call call) => Answer.List("secrets", call.View.State.Secrets, Write);

    public static Answer Get(Call call, string[] names) => string.Join('/', names) is var path && call.View.State.Secrets.TryGetValue(path, out var secret)
        ? Answer.Of(200, writer => Write(writer, KeyValuePair.Create(path, secret)))
        : Answer.NotFound($"Secret '{path}' does not exist");

    public async Task<Answer> PutAsync(Call call, string[] names)
    {
        var path = string.Join('/', names);
        if (!SecretPath.IsValid(path, out var why)) return Answer.Message(422, $"The path of a secret {why}");
        var (value, refusal) = await ReadValueAsync(call).ConfigureAwait(false);
        if (refusal is not null) return refusal;
        var command = new Command.StoreSecret(path, vault.Seal(path, value!)) { Origin = call.Origin(ChangeKind.Other) };
        var (accepted, refused) = await door.AskAsync(call, command, AppId.Root).ConfigureAwait(false);
        return refused ?? new Answer(accepted.Reply.Created ? 201 : 200);
    }

    public async Task<Answer> DeleteAsync(Call call, string[] names)
    {
        var command = new Command.RemoveSecret(string.Join('/', names)) { Origin = call.Origin(ChangeKind.Other) };
        var (_, refused) = await door.AskAsync(call, command, AppId.Root).ConfigureAwait(false);
        return refused ?? new Answer(200);
    }

    private static async Task<(string? Value, Answer? Refusal)> ReadValueAsync(Call call)
    {
        var isJson = call.Http.Request.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) == true;
        var (bytes, refusal) = await call.ReadBytesAsync(isJson ? 8 * ValueBytesMax : ValueBytesMax).ConfigureAwait(false);
        if (refusal is not null) return (null, refusal);
        string value;
        if (isJson)
        {
            if (!AppJson.TryParseBody(bytes, out var document, out var message, out _)) return (null, Answer.Unparsable(message, "the body is no JSON"));
            using (document)
            {
                if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("value", out var member) || member.ValueKind != JsonValueKind.String)
                    return (null, Answer.WrongShape(new Problem("/value", "error.expected.jsstring")));
                value = member.GetString()!;
            }
        }
        else if (Utf8.IsValid(bytes.Span)) value = Encoding.UTF8.GetString(bytes.Span);
        else return (null, Answer.Message(422, "The value of a secret is text in UTF-8"));
        if (value.Length == 0 || value.Contains('\0')) return (null, Answer.Message(422, "The value of a secret must not be empty, nor contain the NUL character"));
        return Encoding.UTF8.GetByteCount(value) <= ValueBytesMax ? (value, null) : (null, Answer.Message(422, $"The value of a secret may have at most {ValueBytesMax} bytes"));
    }

    private static void Write(Utf8JsonWriter writer, KeyValuePair<string, StoredSecret> secret)
    {
        writer.WriteStartObject();
        writer.WriteString("path", secret.Key);
        writer.WriteString("changedAt", new AppVersion(secret.Value.ChangedAt).ToString());
        writer.WriteEndObject();
    }
}
