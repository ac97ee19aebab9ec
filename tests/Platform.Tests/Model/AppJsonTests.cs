using System.Text;
using System.Text.Json;
using CsCheck;
using Platform.Model;

namespace Platform.Tests.Model;

public sealed class AppJsonTests
{
    internal static JsonElement Parse(string text)
    {
        Assert.True(AppJson.TryParseBody(Encoding.UTF8.GetBytes(text), out var document, out _, out var why), why);
        return document.RootElement;
    }

    [Fact]
    public void Reading_what_was_written_gives_the_same_app() =>
        RandomApps.App.Sample(app =>
        {
            var text = JsonSerializer.Serialize(app);
            var back = JsonSerializer.Deserialize<AppDefinition>(text);
            Assert.True(app == back, $"{text}\n{(back is null ? "null" : JsonSerializer.Serialize(back))}");
        }, iter: 500);

    [Fact]
    public void An_answer_sent_back_changes_nothing() =>
        RandomApps.App.Sample(app =>
        {
            var given = Assert.IsType<ReadResult.App>(AppReader.Create(Parse(JsonSerializer.Serialize(app)))).Definition;
            var answer = Parse(JsonSerializer.Serialize(given));
            var again = Assert.IsType<ReadResult.App>(AppReader.Update(answer, given.Id, given, partial: true)).Definition;
            Assert.Equal(given, again);
            var replaced = Assert.IsType<ReadResult.App>(AppReader.Update(answer, given.Id, given, partial: false)).Definition;
            Assert.False(AppChange.ConfigChanged(given, replaced));
        }, iter: 300);

    [Fact]
    public void No_json_makes_the_reader_throw() =>
        RandomJson.Body.Sample(text =>
        {
            if (!AppJson.TryParseBody(Encoding.UTF8.GetBytes(text), out var document, out _, out _)) return;
            using (document)
            {
                AppReader.Create(document.RootElement);
                AppReader.Update(document.RootElement, AppId.Parse("/x"), null, partial: true);
                AppReader.ReadId(document.RootElement, out _);
            }
        }, iter: 5_000);

    [Theory]
    [InlineData("", "Please specify data in JSON format")]
    [InlineData("  \n", "Please specify data in JSON format")]
    [InlineData("\uFEFF", "Please specify data in JSON format")]
    [InlineData("{", "Invalid JSON")]
    [InlineData("{\"id\":}", "Invalid JSON")]
    [InlineData("{} {}", "Invalid JSON")]
    [InlineData("{\"id\":\"\\ud800\"}", "Invalid JSON")]
    [InlineData("{\"\\udc00\":1}", "Invalid JSON")]
    [InlineData("// x\n{}", "Invalid JSON")]
    public void Text_that_is_no_JSON_is_told_from_no_text(string body, string message)
    {
        Assert.False(AppJson.TryParseBody(Encoding.UTF8.GetBytes(body), out _, out var said, out var why));
        Assert.Equal(message, said);
        Assert.NotEmpty(why);
    }

    [Fact]
    public void Bytes_that_are_no_text_are_refused() =>
        Assert.False(AppJson.TryParseBody(new byte[] { (byte)'"', 0xC3, 0x28, (byte)'"' }, out _, out _, out _));

    [Theory]
    [InlineData(64, true)]
    [InlineData(65, false)]
    public void Depth_is_bounded(int depth, bool accepted) =>
        Assert.Equal(accepted, AppJson.TryParseBody(Encoding.UTF8.GetBytes(new string('[', depth) + new string(']', depth)), out _, out _, out _));

    [Fact]
    public void A_byte_order_mark_is_skipped() => Parse("\uFEFF{}");

    [Fact]
    public void The_last_of_two_members_with_one_name_counts()
    {
        var app = Assert.IsType<ReadResult.App>(AppReader.Create(Parse("""{"id":"a","cmd":"first","cmd":"last","env":{"A":"1","A":"2"}}"""))).Definition;
        Assert.Equal("last", app.Cmd);
        Assert.Equal("2", app.Env["A"]);
    }
}
