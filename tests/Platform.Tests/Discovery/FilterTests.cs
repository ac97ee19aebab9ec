using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class FilterTests
{
    private static readonly HealthEntry Entry = new(
        new CatalogNode("id-1", "node-1", "10.0.0.1", EquatableMap.From([new("rack", "r1"), new("a.b", "c")]), true, 1, 1),
        new CatalogInstance
        {
            Node = "node-1", Id = "web:1", Name = "web", Tags = ["front", "v1"], Address = "10.0.0.1", Port = 31000, CreateIndex = 1, ModifyIndex = 1,
            RegisteredMeta = EquatableMap.From([new("version", "7")]),
        },
        [new CatalogCheck("node-1", "serfHealth", "Serf Health Status", CheckStatus.Passing, "", "ok", null, "", 1, 1)]);

    [Theory]
    [InlineData("Service.Service == web", true)]
    [InlineData("Service.Service==\"web\"", true)]
    [InlineData("Service.Service != web", false)]
    [InlineData("Service.Tags contains front", true)]
    [InlineData("Service.Tags contains \"fron\"", false)]
    [InlineData("Service.Tags not contains front", false)]
    [InlineData("front in Service.Tags", true)]
    [InlineData("`v2` not in Service.Tags", true)]
    [InlineData("Service.Tags is empty", false)]
    [InlineData("Service.Tags is not empty", true)]
    [InlineData("Service.Meta.version == 7", true)]
    [InlineData("Service.Meta[\"version\"] == \"7\"", true)]
    [InlineData("Service.Meta.nothing == 7", false)]
    [InlineData("Service.Meta.nothing != 7", true)]
    [InlineData("Service.Meta.nothing not matches x", true)]
    [InlineData("version in Service.Meta", true)]
    [InlineData("Node.Meta[`a.b`] == c", true)]
    [InlineData("Node.Node matches \"^node-[0-9]+$\"", true)]
    [InlineData("Node.Node not matches `^x`", true)]
    [InlineData("\"ode\" in Node.Node", true)]
    [InlineData("Service.Port == 31000", true)]
    [InlineData("Service.Port != 31000", false)]
    [InlineData("Service.EnableTagOverride == false", true)]
    [InlineData("Checks.Status == passing", true)]
    [InlineData("Checks.CheckID == nope or Checks.Status == passing", true)]
    [InlineData("not Service.Service == web", false)]
    [InlineData("not not Service.Service == web", true)]
    [InlineData("(Service.Service == db or Service.Service == web) and Node.Node == `node-1`", true)]
    [InlineData("Service.Service == web or Service.Service == db and Node.Node == nope", true)]
    [InlineData("(Service.Service == web or Service.Service == db) and Node.Node == nope", false)]
    [InlineData("  ( ( Service.Service == web ) )  ", true)]
    public void Expressions_hold_or_do_not(string text, bool holds)
    {
        Assert.True(Filter.TryParse(text, CatalogFilters.Health, out var filter, out var why), why);
        Assert.Equal(holds, filter(Entry));
    }

    [Theory]
    [InlineData("", "no match found")]
    [InlineData("((", "no match found")]
    [InlineData("Service.Service", "expected: an operator")]
    [InlineData("Service.Service == ", "expected: a value")]
    [InlineData("Service.Service == web and", "no match found")]
    [InlineData("Service.Service == web or or", "no match found")]
    [InlineData("(Service.Service == web", "Unmatched parentheses")]
    [InlineData("Service.Service == web)", "the end")]
    [InlineData("Service.Service == \"web", "expected: a value")]
    [InlineData("Nope == web", "Selector \"Nope\" is not valid")]
    [InlineData("Service.Service.Deep == web", "is not valid")]
    [InlineData("Service.Tags == front", "Invalid match operator \"Equal\" for selector \"Service.Tags\"")]
    [InlineData("Service.Service is empty", "Invalid match operator \"Is Empty\"")]
    [InlineData("Service.Port == many", "Failed to coerce value \"many\"")]
    [InlineData("Service.Port matches 3", "Invalid match operator")]
    [InlineData("Node.Node matches `(`", "Failed to compile regular expression")]
    [InlineData("web contains Service.Tags", "is not valid")]
    public void What_makes_no_sense_says_why(string text, string why)
    {
        Assert.False(Filter.TryParse(text, CatalogFilters.Health, out _, out var said));
        Assert.StartsWith("Failed to create boolean expression evaluator: ", said);
        Assert.Contains(why, said);
    }

    [Fact]
    public void Depth_and_length_have_bounds()
    {
        Assert.False(Filter.TryParse(new string('(', 8000), CatalogFilters.Health, out _, out var why));
        Assert.Contains("at most 64 levels", why);
        Assert.False(Filter.TryParse(string.Concat(Enumerable.Repeat("not ", 2000)) + "Service.Port == 1", CatalogFilters.Health, out _, out _));
        Assert.False(Filter.TryParse("Service.Service == " + new string('x', 9000), CatalogFilters.Health, out _, out why));
        Assert.Contains("longer than 8192", why);
    }

    [Fact]
    public void Any_text_is_a_filter_or_a_reason()
    {
        string[] words = ["Service.Tags", "Service.Meta", "Node.Node", "web", "==", "!=", "in", "not", "contains", "matches", "is", "empty", "and", "or", "(", ")", "\"", "`", "[", "]", ".", "1", "-", " "];
        var random = new Random(3);
        var understood = 0;
        for (var i = 0; i < 20_000; i++)
        {
            var text = string.Join(random.Next(4) == 0 ? "" : " ", Enumerable.Range(0, random.Next(1, 9)).Select(_ => words[random.Next(words.Length)]));
            if (Filter.TryParse(text, CatalogFilters.Health, out var filter, out var why)) understood += filter(Entry) ? 1 : 1;
            else Assert.NotEmpty(why);
        }
        Assert.InRange(understood, 10, 19_000);
    }
}
