using System.Text;
using CsCheck;
using Platform.Agent;

namespace Platform.Tests.Agent;

public sealed class OutputTailTests
{
    private static string Tail(params string[] pieces)
    {
        var tail = new OutputTail();
        foreach (var piece in pieces) tail.Add(Encoding.UTF8.GetBytes(piece));
        return tail.ToString();
    }

    [Fact]
    public void KeepsTheLastTwentyLines() =>
        Assert.Equal(string.Join('\n', Enumerable.Range(6, 20)), Tail(string.Join('\n', Enumerable.Range(1, 25)) + "\n"));

    [Fact]
    public void ControlCharacters_BecomeBlanks() => Assert.Equal("a [31mb\tc", Tail("a\u001b[31mb\tc\r\n"));

    [Fact]
    public void IsTheEndOfTheWhole_HoweverItCameInPieces() =>
        Gen.Char['a', 'z'].Array[0, 3000].Array[0, 6].Sample(pieces =>
        {
            var whole = string.Concat(pieces.Select(x => new string(x)));
            Assert.Equal(whole.Length <= OutputTail.BytesMax ? whole : whole[^OutputTail.BytesMax..], Tail(pieces.Select(x => new string(x)).ToArray()));
        }, iter: 300, seed: "0N0XIzNsQ0O2");
}
