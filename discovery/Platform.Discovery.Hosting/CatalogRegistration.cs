using System.Text.Json;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// The registering half of Consul's agent and catalog: services that we do not run, and their checks. They are kept in the cluster log, so that they
/// outlive every node and process but the node that runs their checks; tasks of apps are the scheduler's, and nobody registers or deregisters them here.
/// </summary>
public sealed class CatalogRegistration(CatalogView catalog, StoreReplica store, CheckRounds rounds, string node)
{
    private const int BodyBytesMax = 512 * 1024;
    private ConsulDoor? _door;

    public ConsulDoor AddTo(ConsulDoor door)
    {
        _door = door;
        door.Add(Routes());
        return door;
    }

    private IEnumerable<ConsulRoute> Routes()
    {
        yield return new("/v1/agent/service/register", ("PUT", call => TakeAsync(call, (JsonElement body, out List<RegistryChange>? changes, out BodyRefusal? why) =>
            RegistrationBody.TryService(body, node, call.Has("replace-existing-checks"), out changes, out why))));
        yield return new("/v1/agent/service/deregister/", ("PUT", DeregisterAsync));
        yield return new("/v1/agent/service/maintenance/", ("PUT", call => MaintainAsync(call, call.Rest)));
        yield return new("/v1/agent/maintenance", ("PUT", call => MaintainAsync(call, null)));
        yield return new("/v1/agent/check/register", ("PUT", call => TakeAsync(call, (JsonElement body, out List<RegistryChange>? changes, out BodyRefusal? why) =>
            RegistrationBody.TryCheck(body, node, out changes, out why))));
        yield return new("/v1/agent/check/deregister/", ("PUT", call => call.Rest.Length == 0
            ? call.TextAsync(500, "CheckID missing")
            : SayAsync(call, [new RegistryChange.CheckRemoved(node, call.Rest)], "")));
        yield return new("/v1/agent/check/pass/", ("PUT", call => BeatAsync(call, CheckStatus.Passing, call.Parameter("note"))));
        yield return new("/v1/agent/check/warn/", ("PUT", call => BeatAsync(call, CheckStatus.Warning, call.Parameter("note"))));
        yield return new("/v1/agent/check/fail/", ("PUT", call => BeatAsync(call, CheckStatus.Critical, call.Parameter("note"))));
        yield return new("/v1/agent/check/update/", ("PUT", UpdateAsync));
        yield return new("/v1/catalog/register", ("PUT", call => TakeAsync(call, (JsonElement body, out List<RegistryChange>? changes, out BodyRefusal? why) =>
            RegistrationBody.TryCatalog(body, IsNode, out changes, out why), "true")));
        yield return new("/v1/catalog/deregister", ("PUT", call => TakeAsync(call, RegistrationBody.TryDeregister, "true")));
    }

    private delegate bool Reading(JsonElement body, out List<RegistryChange>? changes, out BodyRefusal? why);

    private bool IsNode(string name) => catalog.Tree.Nodes.TryGetValue(name, out var known) && known.Alive is not null;

    private async Task TakeAsync(ConsulCall call, Reading read, string answer = "")
    {
        if (await BodyAsync(call).ConfigureAwait(false) is not { } body) return;
        using (body)
            if (read(body.RootElement, out var changes, out var why)) await SayAsync(call, changes!, answer).ConfigureAwait(false);
            else await call.TextAsync(why!.Status, why.Text).ConfigureAwait(false);
    }

    /// <summary>Null, and the answer is given, for a body that is no JSON object or too large.</summary>
    private static async Task<JsonDocument?> BodyAsync(ConsulCall call)
    {
        if (await call.BodyAsync(BodyBytesMax).ConfigureAwait(false) is not { } bytes) return null;
        try
        {
            var body = JsonDocument.Parse(bytes);
            if (body.RootElement.ValueKind == JsonValueKind.Object) return body;
            body.Dispose();
            await call.TextAsync(400, "Request decode failed: an object is wanted").ConfigureAwait(false);
        }
        catch (JsonException e)
        {
            await call.TextAsync(400, $"Request decode failed: {e.Message}").ConfigureAwait(false);
        }
        return null;
    }

    private async Task SayAsync(ConsulCall call, IReadOnlyList<RegistryChange> changes, string answer)
    {
        var caller = _door!.AuthorizerOf(call);
        foreach (var change in changes) ConsulDoor.Must(MayBe(change, caller));
        if (changes.Select(TaskOf).FirstOrDefault(x => x is not null) is { } task)
        {
            await call.TextAsync(403, $"{task} is a task of an app: deploy, scale or remove it through the REST API").ConfigureAwait(false);
            return;
        }
        switch (await _door!.AskAsync(new StoreRequest.Register(changes.ToEquatableArray()), call.Aborted).ConfigureAwait(false))
        {
            case StoreReply.Failed failed:
                await call.TextAsync(failed.Status, failed.Text).ConfigureAwait(false);
                return;
            case StoreReply.Done:
                catalog.CatchUp();
                foreach (var change in changes)
                    if (change is RegistryChange.CheckSet { Check: var check } && check.Node == node) rounds.Beat(check.Id);
                if (answer.Length == 0) call.Empty(200);
                else await call.BytesAsync(System.Text.Encoding.UTF8.GetBytes(answer), "application/json").ConfigureAwait(false);
                return;
            case var other:
                throw new System.Diagnostics.UnreachableException($"{other}");
        }
    }

    /// <summary>Services by the name they have and the one they get, checks by their service, or else by the node.</summary>
    private bool MayBe(RegistryChange change, Authorizer caller)
    {
        bool Service(string on, string id) => catalog.Tree.OnNode(on).FirstOrDefault(x => x.Id == id) is not { } known || caller.MayWrite("service", known.Name);
        bool Check(string on, string id) => store.State.Registry.Check(on, id) is not { } known
            || (known.ServiceId.Length > 0 ? Service(on, known.ServiceId) : caller.MayWrite("node", on));
        return change switch
        {
            RegistryChange.NodeSet x => caller.MayWrite("node", x.Node.Name),
            RegistryChange.NodeRemoved x => caller.MayWrite("node", x.Node),
            RegistryChange.InstanceSet x => caller.MayWrite("service", x.Instance.Name) && Service(x.Instance.Node, x.Instance.Id),
            RegistryChange.InstanceRemoved x => Service(x.Node, x.Id),
            RegistryChange.CheckSet x => (x.Check.ServiceId.Length > 0 ? Service(x.Check.Node, x.Check.ServiceId) : caller.MayWrite("node", x.Check.Node)) && Check(x.Check.Node, x.Check.Id),
            RegistryChange.CheckStated x => Check(x.Node, x.Id),
            RegistryChange.CheckRemoved x => Check(x.Node, x.Id),
            _ => throw new System.Diagnostics.UnreachableException($"{change}"),
        };
    }

    /// <summary>The id of a task's service that the change would touch.</summary>
    private string? TaskOf(RegistryChange change)
    {
        var (on, id) = change switch
        {
            RegistryChange.InstanceSet x => (x.Instance.Node, x.Instance.Id),
            RegistryChange.InstanceRemoved x => (x.Node, x.Id),
            RegistryChange.CheckSet x => (x.Check.Node, x.Check.ServiceId),
            _ => ("", ""),
        };
        return id.Length > 0 && catalog.Tree.OnNode(on).Any(x => x.Id == id && x.Task is not null) ? id : null;
    }

    private Task DeregisterAsync(ConsulCall call) => call.Rest.Length == 0
        ? call.TextAsync(500, "ServiceID missing")
        : SayAsync(call, [new RegistryChange.InstanceRemoved(node, call.Rest)], "");

    private async Task UpdateAsync(ConsulCall call)
    {
        if (await BodyAsync(call).ConfigureAwait(false) is not { } body) return;
        using (body)
            if (RegistrationBody.TryStatus(body.RootElement, out var status, out var output, out var why)) await BeatAsync(call, status, output).ConfigureAwait(false);
            else await call.TextAsync(why.Status, why.Text).ConfigureAwait(false);
    }

    /// <summary>A TTL check's word. That all is as well as it was is not news to anybody but its clock.</summary>
    private async Task BeatAsync(ConsulCall call, CheckStatus status, string output)
    {
        if (store.State.Registry.Check(node, call.Rest) is not { Definition.Kind: CheckKind.Ttl } check)
        {
            await call.TextAsync(500, $"CheckID \"{call.Rest}\" does not have associated TTL").ConfigureAwait(false);
            return;
        }
        ConsulDoor.Must(MayBe(new RegistryChange.CheckStated(node, check.Id, status, ""), _door!.AuthorizerOf(call)));
        rounds.Beat(check.Id);
        output = RegistrationBody.Cut(output);
        if (check.Status == status && check.Output == output) call.Empty(200);
        else await SayAsync(call, [new RegistryChange.CheckStated(node, check.Id, status, output)], "").ConfigureAwait(false);
    }

    /// <param name="call">The request.</param>
    /// <param name="service">Null: the whole node.</param>
    private async Task MaintainAsync(ConsulCall call, string? service)
    {
        var word = call.Parameter("enable");
        if (word.Length == 0 || GoWords.BoolOf(word) is not { } enable)
        {
            await call.TextAsync(400, word.Length == 0 ? "Missing value for enable" : $"Invalid value for enable: \"{word}\"").ConfigureAwait(false);
            return;
        }
        if (service is not null && !catalog.Tree.OnNode(node).Any(x => x.Id == service))
        {
            await call.TextAsync(404, $"No service registered with ID \"{service}\"").ConfigureAwait(false);
            return;
        }
        var id = service is null ? "_node_maintenance" : $"_service_maintenance:{service}";
        var what = service is null ? "node" : "service";
        var reason = call.Parameter("reason") is { Length: > 0 } said ? said : $"Maintenance mode is enabled for this {what}, but no reason was provided. This is a default message.";
        await SayAsync(call, enable
            ? [new RegistryChange.CheckSet(
                new RegisteredCheck(node, id, service is null ? "Node Maintenance Mode" : "Service Maintenance Mode", service ?? "", CheckStatus.Critical)
                {
                    Notes = RegistrationBody.Cut(reason), Definition = new CheckDefinition(CheckKind.Maintenance),
                }, KeepStatus: false)]
            : [new RegistryChange.CheckRemoved(node, id)], "").ConfigureAwait(false);
    }
}
