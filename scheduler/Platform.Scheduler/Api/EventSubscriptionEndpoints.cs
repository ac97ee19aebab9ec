using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/eventSubscriptions (contract 6.4).</summary>
internal sealed class EventSubscriptionEndpoints(CommandDoor door, TimeProvider time)
{
    public static Answer List(Call call) => Answer.List("callbackUrls", call.View.State.EventSubscribers, (writer, url) => writer.WriteStringValue(url));

    public Task<Answer> SubscribeAsync(Call call) => ChangeAsync(
        call, url => new Command.SubscribeToEvents(url) { Origin = call.Origin(ChangeKind.Other) }, ContractEvents.Subscribed);

    public Task<Answer> UnsubscribeAsync(Call call) => ChangeAsync(
        call, url => new Command.UnsubscribeFromEvents(url) { Origin = call.Origin(ChangeKind.Other) }, ContractEvents.Unsubscribed);

    /// <summary>The answer is the event, whether or not anything had to be changed.</summary>
    private async Task<Answer> ChangeAsync(Call call, Func<string?, Command> command, Func<string, string, DateTimeOffset, ContractEvent> tell)
    {
        var url = call.Query["callbackUrl"].ToString();
        var (_, refused) = await door.AskAsync(call, command(url), AppId.Root).ConfigureAwait(false);
        return refused ?? Answer.Of(200, writer => writer.WriteRawValue(tell(call.ClientIp, url, time.GetUtcNow()).Json));
    }
}
