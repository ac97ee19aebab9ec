using System.Collections.Immutable;
using System.Text.Json.Serialization;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>A node that was registered and is none of the cluster's.</summary>
public sealed record RegisteredNode(string Name, string Id, string Address, EquatableMap Meta)
{
    public EquatableMap TaggedAddresses { get; init; } = EquatableMap.Empty;
    public long CreateIndex { get; init; }
    public long ModifyIndex { get; init; }
}

/// <summary>A service instance that was registered at some node's door, and that we do not run.</summary>
public sealed record RegisteredInstance(string Node, string Id, string Name)
{
    public EquatableArray<string> Tags { get; init; }
    public EquatableMap Meta { get; init; } = EquatableMap.Empty;
    public string Address { get; init; } = "";
    public int Port { get; init; }
    public bool EnableTagOverride { get; init; }
    public int WeightPassing { get; init; } = 1;
    public int WeightWarning { get; init; } = 1;
    public long CreateIndex { get; init; }
    public long ModifyIndex { get; init; }

    [JsonIgnore]
    public string Key => Registry.KeyOf(Node, Id);
}

public enum CheckKind { None, Ttl, Http, Tcp, Maintenance }

/// <summary>How a node finds out for itself. Without a kind somebody tells it.</summary>
public sealed record CheckDefinition(CheckKind Kind)
{
    public static readonly CheckDefinition None = new(CheckKind.None);

    /// <summary>A URL, or a host and a port.</summary>
    public string Target { get; init; } = "";

    public string Method { get; init; } = "GET";
    public EquatableMap Headers { get; init; } = EquatableMap.Empty;
    public string Body { get; init; } = "";
    public bool SkipTlsVerify { get; init; }
    public TimeSpan Interval { get; init; }
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);
    public TimeSpan Ttl { get; init; }
    public int SuccessBeforePassing { get; init; }
    public int FailuresBeforeCritical { get; init; }

    /// <summary>Null: never. Its service goes when the check was critical for so long.</summary>
    public TimeSpan? DeregisterAfter { get; init; }

    [JsonIgnore]
    public string Word => Kind switch { CheckKind.Ttl => "ttl", CheckKind.Http => "http", CheckKind.Tcp => "tcp", CheckKind.Maintenance => "maintenance", _ => "" };
}

/// <param name="ServiceId">Empty: it speaks of the node as a whole.</param>
public sealed record RegisteredCheck(string Node, string Id, string Name, string ServiceId, CheckStatus Status)
{
    public string Notes { get; init; } = "";
    public string Output { get; init; } = "";
    public CheckDefinition Definition { get; init; } = CheckDefinition.None;
    public long CreateIndex { get; init; }
    public long ModifyIndex { get; init; }

    [JsonIgnore]
    public string Key => Registry.KeyOf(Node, Id);
}

/// <summary>One change of what is registered. They come in lists that hold as a whole.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(NodeSet), "node-set")]
[JsonDerivedType(typeof(NodeRemoved), "node-removed")]
[JsonDerivedType(typeof(InstanceSet), "instance-set")]
[JsonDerivedType(typeof(InstanceRemoved), "instance-removed")]
[JsonDerivedType(typeof(CheckSet), "check-set")]
[JsonDerivedType(typeof(CheckStated), "check-stated")]
[JsonDerivedType(typeof(CheckRemoved), "check-removed")]
public abstract record RegistryChange
{
    private RegistryChange() { }

    public sealed record NodeSet(RegisteredNode Node) : RegistryChange;

    /// <summary>With everything that was registered on it.</summary>
    public sealed record NodeRemoved(string Node) : RegistryChange;

    /// <param name="ReplaceChecks">Checks it had before and that are not set anew go.</param>
    public sealed record InstanceSet(RegisteredInstance Instance, bool ReplaceChecks) : RegistryChange;

    public sealed record InstanceRemoved(string Node, string Id) : RegistryChange;

    /// <param name="KeepStatus">A check that is there already stays as well as it was.</param>
    public sealed record CheckSet(RegisteredCheck Check, bool KeepStatus) : RegistryChange;

    public sealed record CheckStated(string Node, string Id, CheckStatus Status, string Output) : RegistryChange;
    public sealed record CheckRemoved(string Node, string Id) : RegistryChange;
}

/// <summary>Everything that was registered through the Consul doors, as of one revision of the cluster log.</summary>
[JsonConverter(typeof(RegistryConverter))]
public sealed record Registry
{
    /// <summary>Nodes, instances and checks together.</summary>
    public const int CountMax = 20_000;

    public static readonly Registry Empty = new();

    public ImmutableSortedDictionary<string, RegisteredNode> Nodes { get; init; } = ImmutableSortedDictionary.Create<string, RegisteredNode>(StringComparer.Ordinal);
    public ImmutableSortedDictionary<string, RegisteredInstance> Instances { get; init; } = ImmutableSortedDictionary.Create<string, RegisteredInstance>(StringComparer.Ordinal);
    public ImmutableSortedDictionary<string, RegisteredCheck> Checks { get; init; } = ImmutableSortedDictionary.Create<string, RegisteredCheck>(StringComparer.Ordinal);

    [JsonIgnore]
    public int Count => Nodes.Count + Instances.Count + Checks.Count;

    public static string KeyOf(string node, string id) => $"{node}\0{id}";

    public RegisteredInstance? Instance(string node, string id) => Instances.GetValueOrDefault(KeyOf(node, id));
    public RegisteredCheck? Check(string node, string id) => Checks.GetValueOrDefault(KeyOf(node, id));

    public IEnumerable<RegisteredCheck> ChecksOn(string node) => Range(Checks, node);
    public IEnumerable<RegisteredInstance> InstancesOn(string node) => Range(Instances, node);
    public IEnumerable<RegisteredCheck> ChecksOf(string node, string service) => ChecksOn(node).Where(x => x.ServiceId == service);

    /// <summary>The same object if nothing of it is news.</summary>
    public Registry Fold(IEnumerable<RegistryChange> changes, long index) => changes.Aggregate(this, (registry, change) => registry.Fold(change, index));

    private Registry Fold(RegistryChange change, long index)
    {
        switch (change)
        {
            case RegistryChange.NodeSet x:
                var node = Nodes.GetValueOrDefault(x.Node.Name);
                return node is not null && node == x.Node with { CreateIndex = node.CreateIndex, ModifyIndex = node.ModifyIndex }
                    ? this
                    : this with { Nodes = Nodes.SetItem(x.Node.Name, x.Node with { CreateIndex = node?.CreateIndex ?? index, ModifyIndex = index }) };
            case RegistryChange.NodeRemoved x:
                return Without(x.Node);
            case RegistryChange.InstanceSet x:
                return Set(x, index);
            case RegistryChange.InstanceRemoved x:
                return this with { Instances = Instances.Remove(KeyOf(x.Node, x.Id)), Checks = Checks.RemoveRange(ChecksOf(x.Node, x.Id).Select(c => c.Key).ToList()) } is var without && without.Count == Count ? this : without;
            case RegistryChange.CheckSet x:
                return Set(x.Check, x.KeepStatus, index);
            case RegistryChange.CheckStated x:
                return Check(x.Node, x.Id) is { } check ? Set(check with { Status = x.Status, Output = x.Output }, false, index) : this;
            case RegistryChange.CheckRemoved x:
                return Check(x.Node, x.Id) is { } gone ? this with { Checks = Checks.Remove(gone.Key) } : this;
            default:
                throw new System.Diagnostics.UnreachableException($"{change}");
        }
    }

    private Registry Set(RegistryChange.InstanceSet change, long index)
    {
        var instance = change.Instance;
        var known = Instances.GetValueOrDefault(instance.Key);
        var next = known is not null && known == instance with { CreateIndex = known.CreateIndex, ModifyIndex = known.ModifyIndex }
            ? this
            : this with { Instances = Instances.SetItem(instance.Key, instance with { CreateIndex = known?.CreateIndex ?? index, ModifyIndex = index }) };
        if (!change.ReplaceChecks || known is null) return next;
        var old = next.ChecksOf(instance.Node, instance.Id).Select(x => x.Key).ToList();
        return old.Count == 0 ? next : next with { Checks = next.Checks.RemoveRange(old) };
    }

    private Registry Set(RegisteredCheck check, bool keepStatus, long index)
    {
        var known = Checks.GetValueOrDefault(check.Key);
        if (known is not null && keepStatus) check = check with { Status = known.Status, Output = known.Output };
        return known is not null && known == check with { CreateIndex = known.CreateIndex, ModifyIndex = known.ModifyIndex }
            ? this
            : this with { Checks = Checks.SetItem(check.Key, check with { CreateIndex = known?.CreateIndex ?? index, ModifyIndex = index }) };
    }

    private Registry Without(string node)
    {
        var next = this with
        {
            Nodes = Nodes.Remove(node), Instances = Instances.RemoveRange(InstancesOn(node).Select(x => x.Key).ToList()), Checks = Checks.RemoveRange(ChecksOn(node).Select(x => x.Key).ToList()),
        };
        return next.Count == Count ? this : next;
    }

    private static IEnumerable<T> Range<T>(ImmutableSortedDictionary<string, T> from, string node) =>
        from.Where(x => x.Key.Length > node.Length && x.Key[node.Length] == '\0' && x.Key.StartsWith(node, StringComparison.Ordinal)).Select(x => x.Value);
}

internal sealed class RegistryConverter : JsonConverter<Registry>
{
    private sealed record Written(RegisteredNode[] Nodes, RegisteredInstance[] Instances, RegisteredCheck[] Checks);

    public override Registry Read(ref System.Text.Json.Utf8JsonReader reader, Type typeToConvert, System.Text.Json.JsonSerializerOptions options)
    {
        var written = System.Text.Json.JsonSerializer.Deserialize<Written>(ref reader, options) ?? throw new System.Text.Json.JsonException("a registry is wanted, not null");
        return Registry.Empty with
        {
            Nodes = Registry.Empty.Nodes.AddRange(written.Nodes.Select(x => KeyValuePair.Create(x.Name, x))),
            Instances = Registry.Empty.Instances.AddRange(written.Instances.Select(x => KeyValuePair.Create(x.Key, x))),
            Checks = Registry.Empty.Checks.AddRange(written.Checks.Select(x => KeyValuePair.Create(x.Key, x))),
        };
    }

    public override void Write(System.Text.Json.Utf8JsonWriter writer, Registry value, System.Text.Json.JsonSerializerOptions options) =>
        System.Text.Json.JsonSerializer.Serialize(writer, new Written([.. value.Nodes.Values], [.. value.Instances.Values], [.. value.Checks.Values]), options);
}
