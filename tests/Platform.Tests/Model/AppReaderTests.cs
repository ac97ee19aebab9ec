using System.Text;
using System.Text.Json;
using Platform.Model;

namespace Platform.Tests.Model;

public sealed class AppReaderTests
{
    private static readonly AppId X = AppId.Parse("/x");

    [Fact]
    public void The_url_says_which_app_a_put_is_for()
    {
        Assert.Equal(X, Accepted(AppReader.Update(Json("""{"id":"/y","cmd":"true"}"""), X, null, partial: true)).Id);
        Assert.Equal(X, Accepted(AppReader.Update(Json("""{"id":"NOT/an id","cmd":"true"}"""), X, null, partial: true)).Id);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_put_to_an_app_that_does_not_exist_must_say_what_to_run(bool partial)
    {
        var refusal = Refused(AppReader.Update(Json("""{"instances":3}"""), X, null, partial));
        Assert.Equal(RefusalFamily.ObjectNotValid, refusal.Family);
        Assert.Equal([new Problem("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.")], refusal.Problems);
    }

    [Fact]
    public void A_full_replace_of_an_app_must_say_what_to_run()
    {
        var existing = Accepted(AppReader.Create(Json("""{"id":"x","cmd":"true"}""")));
        Assert.Equal(RefusalFamily.ObjectNotValid, Refused(AppReader.Update(Json("""{"instances":3}"""), X, existing, partial: false)).Family);
    }

    [Fact]
    public void A_partial_update_leaves_what_it_does_not_name_and_what_is_null()
    {
        var before = Accepted(AppReader.Create(Json(
            """{"id":"x","cmd":"true","env":{"A":"1"},"labels":{"l":"1"},"healthChecks":[{}],"user":"www","cpus":2}""")));
        var after = Accepted(AppReader.Update(Json("""{"instances":3,"cmd":null,"env":null,"labels":{"m":"2"}}"""), X, before, partial: true));
        Assert.Equal(before with { Instances = 3, Labels = EquatableMap.From([KeyValuePair.Create("m", "2")]) }, after);
    }

    [Fact]
    public void Ids_inside_a_group_count_from_the_group()
    {
        var app = Accepted(AppReader.Create(Json("""{"id":"web","cmd":"true","dependencies":["../db","cache","/q"]}"""), AppId.Parse("/shop")));
        Assert.Equal("/shop/web", app.Id.Path);
        Assert.Equal(["/shop/db", "/shop/cache", "/q"], app.Dependencies.Select(x => x.Path));
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("/g/a", true)]
    [InlineData("/h/a", false)]
    [InlineData("../a", false)]
    [InlineData("/group/a", false)]
    [InlineData("/g", false)]
    [InlineData(".", false)]
    public void Apps_of_a_group_lie_inside_it(string id, bool accepted) =>
        Assert.Equal(accepted, AppReader.Create(Json($$"""{"id":"{{id}}","cmd":"true"}"""), AppId.Parse("/g")) is ReadResult.App);

    [Fact]
    public void A_created_app_may_carry_the_read_only_members_of_an_answer() =>
        Accepted(AppReader.Create(Json(
            """{"id":"x","cmd":"true","version":"2014-09-24T05:21:22.123Z","versionInfo":{"lastScalingAt":5},"tasksRunning":"many","deployments":[]}""")));

    [Fact]
    public void Items_of_an_array_put_name_their_app()
    {
        Assert.Null(AppReader.ReadId(Json("""{"id":"a/b"}"""), out var id));
        Assert.Equal("/a/b", id.Path);
        Assert.Equal([new Problem("/id", "error.path.missing")], AppReader.ReadId(Json("{}"), out _)!.Refusal.Problems);
        Assert.Equal([new Problem("/id", "error.expected.jsstring")], AppReader.ReadId(Json("""{"id":1}"""), out _)!.Refusal.Problems);
        Assert.Equal([new Problem("/", "error.expected.jsobject")], AppReader.ReadId(Json("1"), out _)!.Refusal.Problems);
        Assert.Equal(RefusalFamily.ObjectNotValid, AppReader.ReadId(Json("""{"id":"A"}"""), out _)!.Refusal.Family);
    }

    [Fact]
    public void The_answer_groups_problems_by_path()
    {
        var refusal = Refused(AppReader.Create(Json("""{"id":"x","instances":-1,"cmd":1}""")));
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream)) refusal.Write(writer);
        Assert.Equal(
            """{"message":"Invalid JSON","details":[{"path":"/cmd","errors":["error.expected.jsstring"]},"""
            + """{"path":"/instances","errors":["error.min","must be at least 0, was -1"]}]}""",
            Encoding.UTF8.GetString(stream.ToArray()));
    }

    [Fact]
    public void A_million_bad_items_make_a_bounded_answer()
    {
        var refusal = Refused(AppReader.Create(Json($$"""{"id":"x","cmd":"true","ports":[{{string.Join(',', Enumerable.Repeat("-1", 300_000))}}]}""")));
        Assert.InRange(refusal.Problems.Count, 1, AppLimits.ProblemsMax);
    }

    [Theory]
    [InlineData("2", 2.0)]
    [InlineData("\"0.5\"", 0.5)]
    [InlineData("\"1e2\"", 100.0)]
    [InlineData("\"\"", null)]
    [InlineData("\" 1\"", null)]
    [InlineData("\"NaN\"", null)]
    [InlineData("\"Infinity\"", null)]
    [InlineData("1e999", null)]
    [InlineData("\"0x10\"", null)]
    [InlineData("\"1,5\"", null)]
    [InlineData("[1]", null)]
    public void Numbers_may_be_quoted(string text, double? expected)
    {
        var result = AppReader.Create(Json($$"""{"id":"x","cmd":"true","cpus":{{text}}}"""));
        if (expected is { } cpus) Assert.Equal(cpus, Accepted(result).Resources.Cpus);
        else Assert.Equal([new Problem("/cpus", "error.expected.jsnumber")], Refused(result).Problems);
    }

    [Theory]
    [InlineData("3", null)]
    [InlineData("3.0", null)]
    [InlineData("3e0", null)]
    [InlineData("\"3\"", null)]
    [InlineData("1.5", "error.expected.jsnumber/int")]
    [InlineData("\"1.5\"", "error.expected.jsnumber/int")]
    [InlineData("true", "error.expected.jsnumber")]
    [InlineData("1e12", "error.max")]
    public void Counts_are_whole(string text, string? code)
    {
        var result = AppReader.Create(Json($$"""{"id":"x","cmd":"true","instances":{{text}}}"""));
        if (code is null) Assert.Equal(3, Accepted(result).Instances);
        else Assert.Equal(code, Refused(result).Problems[0].Reason);
    }

    public static TheoryData<string, int, Func<int, string>> Limits => new()
    {
        { "instances", AppLimits.InstancesMax, n => $"\"instances\":{n}" },
        { "labels", AppLimits.LabelsMax, n => $"\"labels\":{Map(n)}" },
        { "env", AppLimits.EnvMax, n => $"\"env\":{Map(n)}" },
        { "value", AppLimits.ValueBytesMax, n => $"\"env\":{{\"A\":\"{new string('v', n - 1)}\"}}" },
        { "label value", AppLimits.ValueBytesMax, n => $"\"labels\":{{\"é\":\"{new string('v', n - 2)}\"}}" },
        { "ports", AppLimits.PortsMax, n => $"\"ports\":{List(n, "0")}" },
        { "healthChecks", AppLimits.HealthChecksMax, n => $"\"healthChecks\":{List(n, "{}")}" },
        { "constraints", AppLimits.ConstraintsMax, n => $"\"constraints\":{List(n, "[\"a\",\"CLUSTER\"]")}" },
        { "dependencies", AppLimits.DependenciesMax, n => $"\"dependencies\":{List(n, "\"/d\"")}" },
        { "pattern", ConstraintPattern.LengthMax, n => $"\"constraints\":[[\"a\",\"LIKE\",\"{new string('a', n)}\"]]" },
    };

    [Theory]
    [MemberData(nameof(Limits))]
    public void Limits_hold_to_the_unit(string what, int limit, Func<int, string> member)
    {
        Assert.NotEmpty(what);
        foreach (var (size, allowed) in new[] { (limit - 1, true), (limit, true), (limit + 1, false) })
        {
            var result = AppReader.Create(Json($$"""{"id":"x","cmd":"true",{{member(size)}}}"""));
            Assert.True(allowed == result is ReadResult.App, $"{what} of {size}: {result}");
        }
    }

    [Theory]
    [InlineData("(a+)+$")]
    [InlineData("(a|aa)+$")]
    [InlineData("(.*a){25}")]
    [InlineData("^(([a-z])+.)+[A-Z]([a-z])+$")]
    public void Patterns_that_explode_elsewhere_match_in_linear_time(string pattern)
    {
        Assert.True(ConstraintPattern.TryCompile(pattern, out var regex, out _));
        Assert.DoesNotMatch(regex, new string('a', 65_536) + "!");
    }

    [Fact]
    public void Patterns_match_whole_texts()
    {
        Assert.True(ConstraintPattern.TryCompile("a|b", out var regex, out _));
        Assert.Matches(regex, "b");
        Assert.DoesNotMatch(regex, "ab");
        Assert.DoesNotMatch(regex, "a\n");
    }

    [Theory]
    [InlineData("true", "true", false)]
    [InlineData("true", "false", true)]
    public void Config_is_all_but_the_count_and_the_versions(string before, string after, bool changed)
    {
        var old = Accepted(AppReader.Create(Json($$"""{"id":"x","cmd":"{{before}}"}""")));
        var next = Accepted(AppReader.Create(Json($$"""{"id":"x","cmd":"{{after}}","instances":7}""")))
            with { Version = new AppVersion(DateTimeOffset.UnixEpoch), LegacyDockerNetwork = true };
        Assert.Equal(changed, AppChange.ConfigChanged(old, next));
    }

    [Theory]
    [InlineData("\"labels\":{\"a\":\"b\"}")]
    [InlineData("\"dependencies\":[\"/d\"]")]
    [InlineData("\"healthChecks\":[{}]")]
    [InlineData("\"upgradeStrategy\":{\"minimumHealthCapacity\":0.5}")]
    [InlineData("\"killSelection\":\"OLDEST_FIRST\"")]
    [InlineData("\"constraints\":[[\"hostname\",\"UNIQUE\"]]")]
    [InlineData("\"mem\":129")]
    [InlineData("\"ports\":[]")]
    public void Every_other_change_replaces_tasks(string member)
    {
        var old = Accepted(AppReader.Create(Json("""{"id":"x","cmd":"true"}""")));
        Assert.True(AppChange.ConfigChanged(old, Accepted(AppReader.Update(Json($"{{{member}}}"), X, old, partial: true))));
    }

    private static string Map(int count) => "{" + string.Join(',', Enumerable.Range(0, count).Select(x => $"\"k{x}\":\"v\"")) + "}";
    private static string List(int count, string item) => "[" + string.Join(',', Enumerable.Repeat(item, count)) + "]";
    private static JsonElement Json(string text) => AppJsonTests.Parse(text);
    private static AppDefinition Accepted(ReadResult result) => result is ReadResult.App x ? x.Definition : throw new Xunit.Sdk.XunitException($"{result}");
    private static Refusal Refused(ReadResult result) => Assert.IsType<ReadResult.Refused>(result).Refusal;
}
