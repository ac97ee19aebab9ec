using System.Globalization;

namespace Platform.Discovery.Catalog;

/// <summary>What a filter may ask of one kind of row: each selector's text and what stands there.</summary>
internal sealed class FilterSchema<T>
{
    private readonly Dictionary<string, Field> _fields = new(StringComparer.Ordinal);

    /// <summary>A comparison at a field, made once for a filter and then asked of every row.</summary>
    private abstract record Field
    {
        public abstract Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why);
    }

    public FilterSchema<T> Text(string name, Func<T, string> get) => Add(name, new TextField(get));
    public FilterSchema<T> Number(string name, Func<T, long> get) => Add(name, new NumberField(get));
    public FilterSchema<T> Flag(string name, Func<T, bool> get) => Add(name, new FlagField(get));
    public FilterSchema<T> List(string name, Func<T, IReadOnlyCollection<string>> get) => Add(name, new ListField(get));
    public FilterSchema<T> Map(string name, Func<T, IReadOnlyDictionary<string, string>> get) => Add(name, new MapField(get));

    /// <summary>A structure inside the row, with selectors of its own behind a dot.</summary>
    public FilterSchema<T> Inner<TInner>(string name, FilterSchema<TInner> schema, Func<T, TInner> get) => Add(name, new InnerField<TInner>(schema, get));

    /// <summary>Several of them: a comparison holds if it holds for one.</summary>
    public FilterSchema<T> Many<TInner>(string name, FilterSchema<TInner> schema, Func<T, IReadOnlyCollection<TInner>> get) => Add(name, new ManyField<TInner>(schema, get));

    public Func<T, bool>? Compile(ReadOnlySpan<string> selector, FilterMatch match, out string why)
    {
        if (!selector.IsEmpty && _fields.TryGetValue(selector[0], out var field)) return field.Compile(selector[1..], match, out why);
        why = $"Selector \"{string.Join('.', match.Selector)}\" is not valid";
        return null;
    }

    private FilterSchema<T> Add(string name, Field field)
    {
        _fields.Add(name, field);
        return this;
    }

    private static Func<T, bool>? Refuse(FilterMatch match, out string why)
    {
        why = $"Invalid match operator \"{match.Operator}\" for selector \"{string.Join('.', match.Selector)}\"";
        return null;
    }

    private static Func<T, bool>? Stranger(FilterMatch match, out string why)
    {
        why = $"Selector \"{string.Join('.', match.Selector)}\" is not valid";
        return null;
    }

    private sealed record TextField(Func<T, string> Get) : Field
    {
        public override Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why)
        {
            if (!rest.IsEmpty) return Stranger(match, out why);
            if (match.OfText(out why) is { } holds) return x => holds(Get(x));
            return why.Length > 0 ? null : Refuse(match, out why);
        }
    }

    private sealed record NumberField(Func<T, long> Get) : Field
    {
        public override Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why)
        {
            why = "";
            if (!rest.IsEmpty) return Stranger(match, out why);
            if (match.Comparison != FilterComparison.Equal) return Refuse(match, out why);
            if (long.TryParse(match.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)) return x => Get(x) == number != match.Negated;
            why = $"Failed to coerce value \"{match.Value}\" for selector \"{string.Join('.', match.Selector)}\"";
            return null;
        }
    }

    private sealed record FlagField(Func<T, bool> Get) : Field
    {
        public override Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why)
        {
            why = "";
            if (!rest.IsEmpty) return Stranger(match, out why);
            if (match.Comparison != FilterComparison.Equal) return Refuse(match, out why);
            if (FilterMatch.BoolOf(match.Value) is { } flag) return x => Get(x) == flag != match.Negated;
            why = $"Failed to coerce value \"{match.Value}\" for selector \"{string.Join('.', match.Selector)}\"";
            return null;
        }
    }

    private sealed record ListField(Func<T, IReadOnlyCollection<string>> Get) : Field
    {
        public override Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why)
        {
            why = "";
            if (!rest.IsEmpty) return Stranger(match, out why);
            return match.Comparison switch
            {
                FilterComparison.In => x => Get(x).Contains(match.Value) != match.Negated,
                FilterComparison.Empty => x => Get(x).Count == 0 != match.Negated,
                _ => Refuse(match, out why),
            };
        }
    }

    private sealed record MapField(Func<T, IReadOnlyDictionary<string, string>> Get) : Field
    {
        public override Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why)
        {
            why = "";
            if (rest.Length > 1) return Stranger(match, out why);
            if (rest.Length == 1)
            {
                var key = rest[0];
                if (match.OfText(out why) is { } holds) return x => Get(x).TryGetValue(key, out var value) ? holds(value) : match.Negated;
                return why.Length > 0 ? null : Refuse(match, out why);
            }
            return match.Comparison switch
            {
                FilterComparison.In => x => Get(x).ContainsKey(match.Value) != match.Negated,
                FilterComparison.Empty => x => Get(x).Count == 0 != match.Negated,
                _ => Refuse(match, out why),
            };
        }
    }

    private sealed record InnerField<TInner>(FilterSchema<TInner> Schema, Func<T, TInner> Get) : Field
    {
        public override Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why) =>
            Schema.Compile(rest, match, out why) is { } holds ? x => holds(Get(x)) : null;
    }

    private sealed record ManyField<TInner>(FilterSchema<TInner> Schema, Func<T, IReadOnlyCollection<TInner>> Get) : Field
    {
        public override Func<T, bool>? Compile(ReadOnlySpan<string> rest, FilterMatch match, out string why)
        {
            why = "";
            if (rest.IsEmpty)
                return match.Comparison == FilterComparison.Empty ? x => Get(x).Count == 0 != match.Negated : Refuse(match, out why);
            return Schema.Compile(rest, match, out why) is { } holds ? x => Get(x).Any(holds) : null;
        }
    }
}
