using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>What is asked of the catalog beside its name.</summary>
/// <param name="Near">Instances on this node first.</param>
public sealed record CatalogQuery(EquatableArray<string> Tags, EquatableMap NodeMeta, bool Passing, string? Near, string? Filter, bool Pretty)
{
    public static readonly CatalogQuery Plain = new(default, EquatableMap.Empty, false, null, null, false);
}

/// <summary>An answer's index and body, or why the question cannot be answered.</summary>
public abstract record CatalogAnswer
{
    private CatalogAnswer() { }

    public sealed record Found(long Index, ReadOnlyMemory<byte> Json) : CatalogAnswer;
    public sealed record Refused(string Why) : CatalogAnswer;
}

/// <summary>The catalog's and the health's questions, each with the topic whose change may change the answer.</summary>
public abstract record CatalogQuestion
{
    private CatalogQuestion() { }

    public abstract string Topic { get; }
    public abstract long Index(CatalogTree tree);

    public sealed record NodeList : CatalogQuestion
    {
        public override string Topic => CatalogTree.NodesTopic;
        public override long Index(CatalogTree tree) => tree.NodesIndex;
    }

    public sealed record ServiceNames : CatalogQuestion
    {
        public override string Topic => CatalogTree.ServicesTopic;
        public override long Index(CatalogTree tree) => tree.ServicesIndex;
    }

    public abstract record AboutNamed(string Name) : CatalogQuestion
    {
        public override string Topic => CatalogTree.ServiceTopic(Name);
        public override long Index(CatalogTree tree) => tree.ServiceIndex(Name);
    }

    public sealed record InstancesOf(string Name) : AboutNamed(Name);
    public sealed record HealthOf(string Name) : AboutNamed(Name);
    public sealed record ChecksOf(string Name) : AboutNamed(Name);

    /// <summary>What only a mesh has; nothing here ever has one.</summary>
    public sealed record MeshOf(string Name) : AboutNamed(Name);

    public abstract record AboutNode(string Name) : CatalogQuestion
    {
        public override string Topic => CatalogTree.NodeTopic(Name);
        public override long Index(CatalogTree tree) => tree.NodeIndex(Name);
    }

    public sealed record ServicesOn(string Name, bool AsList) : AboutNode(Name);
    public sealed record ChecksOn(string Name) : AboutNode(Name);

    /// <param name="Status">Null = in any.</param>
    public sealed record ChecksIn(CheckStatus? Status, bool Known) : CatalogQuestion
    {
        public override string Topic => CatalogTree.ServicesTopic;
        public override long Index(CatalogTree tree) => tree.ServicesIndex;
    }
}

public static class CatalogAnswers
{
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonWriterOptions Indented = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = true, IndentSize = 4 };

    public static byte[] Render(bool pretty, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, pretty ? Indented : Compact)) write(json);
        return [.. buffer.WrittenSpan];
    }

    public static CatalogAnswer Of(CatalogTree tree, CatalogQuestion question, CatalogQuery query)
    {
        switch (question)
        {
            case CatalogQuestion.NodeList:
                return List(query, question.Index(tree), CatalogFilters.Nodes, Near(tree.Nodes.Values.Where(x => HasMeta(x, query)), x => x.Name, query), CatalogJson.Node);
            case CatalogQuestion.ServiceNames:
                return new CatalogAnswer.Found(question.Index(tree), Render(query.Pretty, json => Names(json, tree, query)));
            case CatalogQuestion.InstancesOf x:
                return List(query, question.Index(tree), CatalogFilters.OfService, Entries(tree, x.Name, query), (json, e) => CatalogJson.OfService(json, e.Node, e.Service));
            case CatalogQuestion.HealthOf x:
                var healthy = Entries(tree, x.Name, query).Where(e => !query.Passing || e.Status == CheckStatus.Passing);
                return List(query, question.Index(tree), CatalogFilters.Health, healthy, CatalogJson.Health);
            case CatalogQuestion.ChecksOf x:
                return List(query, question.Index(tree), CatalogFilters.Checks, Entries(tree, x.Name, query).SelectMany(e => e.Service.Checks), Check);
            case CatalogQuestion.MeshOf:
                return List(query, question.Index(tree), CatalogFilters.Health, [], CatalogJson.Health);
            case CatalogQuestion.ServicesOn x:
                return On(tree, x, query);
            case CatalogQuestion.ChecksOn x:
                return List(query, question.Index(tree), CatalogFilters.Checks, tree.Nodes.TryGetValue(x.Name, out var on) ? tree.ChecksOn(on) : [], Check);
            case CatalogQuestion.ChecksIn x:
                var nodes = x.Known ? Near(tree.Nodes.Values.Where(n => HasMeta(n, query)), n => n.Name, query) : [];
                return List(query, question.Index(tree), CatalogFilters.Checks, nodes.SelectMany(tree.ChecksOn).Where(c => x.Status is null || c.Status == x.Status), Check);
            default:
                throw new System.Diagnostics.UnreachableException($"{question}");
        }

        static void Check(Utf8JsonWriter json, CatalogCheck check) => CatalogJson.Check(json, check);
    }

    private static IEnumerable<HealthEntry> Entries(CatalogTree tree, string service, CatalogQuery query) => Near(
        tree.OfService(service).Where(x => query.Tags.All(x.Tags.Contains)).Select(tree.Health).OfType<HealthEntry>().Where(x => HasMeta(x.Node, query)), x => x.Node.Name, query);

    private static void Names(Utf8JsonWriter json, CatalogTree tree, CatalogQuery query)
    {
        json.WriteStartObject();
        foreach (var (name, group) in tree.Services)
        {
            var instances = group.Instances.Values.Where(x => query.NodeMeta.Count == 0 || (tree.Nodes.TryGetValue(x.Node, out var node) && HasMeta(node, query))).ToList();
            if (instances.Count > 0) CatalogJson.Tags(json, name, instances.SelectMany(x => x.Tags).Distinct().Order(StringComparer.Ordinal));
        }
        json.WriteEndObject();
    }

    private static CatalogAnswer On(CatalogTree tree, CatalogQuestion.ServicesOn question, CatalogQuery query)
    {
        if (!TryFilter(query, CatalogFilters.Services, out var filter, out var why)) return new CatalogAnswer.Refused(why);
        var node = tree.Nodes.GetValueOrDefault(question.Name);
        return new CatalogAnswer.Found(question.Index(tree), Render(query.Pretty, json =>
        {
            if (node is null && !question.AsList)
            {
                json.WriteNullValue();
                return;
            }
            json.WriteStartObject();
            json.WritePropertyName("Node");
            if (node is null) json.WriteNullValue();
            else CatalogJson.Node(json, node);
            json.WritePropertyName("Services");
            if (node is null) json.WriteNullValue();
            else Services(json, tree.OnNode(question.Name).Where(filter), question.AsList);
            json.WriteEndObject();
        }));
    }

    private static void Services(Utf8JsonWriter json, IEnumerable<CatalogInstance> services, bool asList)
    {
        if (asList) json.WriteStartArray();
        else json.WriteStartObject();
        foreach (var service in services)
        {
            if (!asList) json.WritePropertyName(service.Id);
            CatalogJson.Service(json, service);
        }
        if (asList) json.WriteEndArray();
        else json.WriteEndObject();
    }

    private static CatalogAnswer List<T>(CatalogQuery query, long index, FilterSchema<T> schema, IEnumerable<T> rows, Action<Utf8JsonWriter, T> write)
    {
        if (!TryFilter(query, schema, out var filter, out var why)) return new CatalogAnswer.Refused(why);
        return new CatalogAnswer.Found(index, Render(query.Pretty, json =>
        {
            json.WriteStartArray();
            foreach (var row in rows)
                if (filter(row)) write(json, row);
            json.WriteEndArray();
        }));
    }

    internal static bool TryFilter<T>(CatalogQuery query, FilterSchema<T> schema, [NotNullWhen(true)] out Func<T, bool>? filter, [NotNullWhen(false)] out string? why)
    {
        if (query.Filter is { Length: > 0 } text) return Filter.TryParse(text, schema, out filter, out why);
        (filter, why) = (_ => true, null);
        return true;
    }

    private static bool HasMeta(CatalogNode node, CatalogQuery query) => query.NodeMeta.All(x => node.Meta.TryGetValue(x.Key, out var value) && value == x.Value);

    private static IEnumerable<T> Near<T>(IEnumerable<T> rows, Func<T, string> node, CatalogQuery query) =>
        query.Near is { } near ? rows.OrderBy(x => node(x) == near ? 0 : 1) : rows;
}
