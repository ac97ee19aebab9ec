using Platform.Model;

namespace Platform.Scheduling;

/// <summary>Who wants events posted to them (contract 6.4).</summary>
internal static class EventSubscribers
{
    private const int UrlLengthMax = 2048;

    public static Decision Subscribe(ClusterState state, Command.SubscribeToEvents x, SchedulerSettings settings, DateTimeOffset now)
    {
        if (WhyNot(x.CallbackUrl) is { } why) return Decider.Refuse(RejectCode.BadArgument, why);
        if (state.EventSubscribers.Items.Contains(x.CallbackUrl!)) return new Decision.Accepted(default, Reply.Done);
        if (state.EventSubscribers.Count >= settings.EventSubscribersMax)
            return Decider.Refuse(RejectCode.TooMany, $"Max number ({settings.EventSubscribersMax}) of event subscribers is achieved. Remove one first.");
        return new Decision.Accepted([new SchedulerEvent.EventSubscribed(x.CallbackUrl!, x.Origin.ClientIp) { At = now }], Reply.Done);
    }

    public static Decision Unsubscribe(ClusterState state, Command.UnsubscribeFromEvents x, DateTimeOffset now)
    {
        if (string.IsNullOrEmpty(x.CallbackUrl)) return Decider.Refuse(RejectCode.BadArgument, Missing);
        return state.EventSubscribers.Items.Contains(x.CallbackUrl)
            ? new Decision.Accepted([new SchedulerEvent.EventUnsubscribed(x.CallbackUrl, x.Origin.ClientIp) { At = now }], Reply.Done)
            : new Decision.Accepted(default, Reply.Done);
    }

    private const string Missing = "The parameter callbackUrl is missing";

    private static string? WhyNot(string? url)
    {
        if (string.IsNullOrEmpty(url)) return Missing;
        if (url.Length > UrlLengthMax) return $"The callbackUrl is longer than {UrlLengthMax} characters";
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Host.Length == 0)
            return $"The callbackUrl '{url}' is not an http or https URL";
        return uri.UserInfo.Length > 0 ? "The callbackUrl may not carry a user and password: it is shown to everybody who lists the subscribers" : null;
    }
}
