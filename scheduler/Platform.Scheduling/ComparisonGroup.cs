using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// The instances an app's constraints compare a node with, counted by node and, for each field asked for, by its value:
/// one more instance costs the same whether ten or ten thousand are there.
/// </summary>
public sealed class ComparisonGroup(IEnumerable<NodeDescription> nodes)
{
    /// <summary>How often each value of one field is used, and which came first.</summary>
    public sealed class Values
    {
        private readonly Dictionary<string, int> _counts = new(StringComparer.Ordinal);

        public string? First { get; private set; }
        public int Distinct => _counts.Count;
        public int CountOf(string value) => _counts.GetValueOrDefault(value);
        public int Least => _counts.Count == 0 ? 0 : _counts.Values.Min();

        internal void Add(string? value)
        {
            if (value is null) return;
            First ??= value;
            _counts[value] = CountOf(value) + 1;
        }
    }

    private readonly List<NodeDescription> _nodes = [.. nodes];
    private readonly Dictionary<string, Values> _fields = new(StringComparer.Ordinal);
    private Dictionary<NodeId, int>? _byNode;

    public int CountOn(NodeId node) => (_byNode ??= _nodes.CountBy(n => n.Id).ToDictionary()).GetValueOrDefault(node);

    public Values Of(string field)
    {
        if (_fields.TryGetValue(field, out var values)) return values;
        values = _fields[field] = new Values();
        foreach (var node in _nodes) values.Add(Constraints.Value(node, field));
        return values;
    }

    public void Add(NodeDescription node)
    {
        if (_byNode is not null) _byNode[node.Id] = CountOn(node.Id) + 1;
        foreach (var (field, values) in _fields) values.Add(Constraints.Value(node, field));
        _nodes.Add(node);
    }
}
