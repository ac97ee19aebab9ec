using System.Text;
using Fluid;
using Fluid.Ast;
using Fluid.Values;

namespace Platform.Discovery.Hosting;

/// <summary>A template that cannot be read, or cannot be filled in; the message is for whoever wrote it.</summary>
internal sealed class TemplateBrokenException(string why, Exception? inner = null) : Exception(why, inner);

/// <summary>
/// One Liquid template (Shopify's language, by Fluid), written by who runs this node. It sees plain maps and lists only and reaches no file, and what its
/// writer's slips may cost is bounded: steps, ranges, what it remembers and what it makes.
/// Filters that do not exist are mistakes; members that do not exist are empty, as in Liquid everywhere.
/// </summary>
internal sealed class LiquidText
{
    public const int BytesMax = 64 << 20;
    private const int StepsMax = 50_000_000;

    private static readonly FluidParser Parser = new();
    private static readonly TemplateOptions Options = new()
    {
        MaxSteps = StepsMax, MaxRecursion = 100, StrictFilters = true,
        Assigned = (_, value, _) => new ValueTask<FluidValue>(Bounded(value)),
        Captured = (_, value, _) => new ValueTask<FluidValue>(Bounded(value)),
    };

    private readonly IFluidTemplate _template;

    private LiquidText(IFluidTemplate template) => _template = template;

    public static LiquidText Parse(string text) => Parser.TryParse(text, out var template, out var error) ? new LiquidText(new RangeBounds().VisitTemplate(template)) : throw new TemplateBrokenException(error);

    public async Task<byte[]> RenderAsync(Dictionary<string, object?> model)
    {
        var context = new TemplateContext(Options);
        foreach (var (name, value) in model) context.SetValue(name, value ?? "");
        using var text = new BoundedWriter();
        try
        {
            await _template.RenderAsync(text, context, NullEncoder.Default, isolateContext: true).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not (TemplateBrokenException or OutOfMemoryException))
        {
            throw new TemplateBrokenException(e.Message, e); // the user's filter or the library's: what it throws is not told
        }
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private static FluidValue Bounded(FluidValue value) => value is StringValue text && text.ToStringValue().Length > BytesMax
        ? throw new TemplateBrokenException($"it remembers more than {BytesMax} characters")
        : value;

    /// <summary>The library makes a list of every number of a range, however long that is.</summary>
    private sealed class RangeBounds : AstRewriter
    {
        protected override Expression VisitRangeExpression(RangeExpression rangeExpression) => new BoundedRange(rangeExpression);
    }

    private sealed class BoundedRange(RangeExpression range) : Expression
    {
        private const int LengthMax = 100_000;

        public override async ValueTask<FluidValue> EvaluateAsync(TemplateContext context)
        {
            var from = (await range.From.EvaluateAsync(context).ConfigureAwait(false)).ToNumberValue();
            var to = (await range.To.EvaluateAsync(context).ConfigureAwait(false)).ToNumberValue();
            return to - from >= LengthMax
                ? throw new TemplateBrokenException($"a range has more than {LengthMax} numbers")
                : await range.EvaluateAsync(context).ConfigureAwait(false);
        }

        protected override Expression Accept(AstVisitor visitor) => this;
    }

    private sealed class BoundedWriter : StringWriter
    {
        public override void Write(char value)
        {
            Bound(1);
            base.Write(value);
        }

        public override void Write(char[] buffer, int index, int count)
        {
            Bound(count);
            base.Write(buffer, index, count);
        }

        public override void Write(ReadOnlySpan<char> buffer)
        {
            Bound(buffer.Length);
            base.Write(buffer);
        }

        public override void Write(string? value)
        {
            Bound(value?.Length ?? 0);
            base.Write(value);
        }

        private void Bound(int more)
        {
            if (GetStringBuilder().Length + more > BytesMax) throw new TemplateBrokenException($"it makes more than {BytesMax} characters");
        }
    }
}
