using System.Text;
using Platform.Simulation;

namespace Platform.Tests.Api.Fuzz;

/// <summary>What a careless, unlucky or hostile client makes of a good body.</summary>
internal sealed class Mutations(Chance chance, IReadOnlyList<JsonTree> donors)
{
    private static readonly string[] OddNumbers =
    [
        "0", "-0", "-1", "1.5", "1e3", "1e308", "1e309", "-1e999", "1E-400", "2147483647", "2147483648", "-2147483649", "9223372036854775808", "NaN", "Infinity", "-Infinity",
        "0x10", "01", "1.", ".5", "+1", "1e", "99999999999999999999999999999999999999", "0.1000000000000000055511151231257827", "\"7\"", "\"1e400\"", "\"NaN\"", "50000", "50001", "65535", "65536",
    ];

    private static readonly string[] OddScalars =
    [
        "null", "true", "false", "\"\"", "\" \"", "\"x\"", "{}", "[]", "[[]]", "[null]", "{\"\":null}", "\"null\"", "\"true\"", "undefined", "'x'", "True", "\"HTTP\"", "\"BRIDGE\"", "\"DOCKER\"", "\"MESOS\"",
        "\"UNIQUE\"", "\"disabled\"", "\"2026-01-01T10:00:00.000Z\"", "\"0000-00-00T99:99:99Z\"", "\"/f/a\"", "\"/\"", "\"..\"", "\"//\"", "\"/f/../../..\"", "\"./b\"",
    ];

    /// <summary>Between quotes, as they stand in the text.</summary>
    private static readonly string[] OddTexts =
    [
        "\\u0000", "a\\u0000b", "\\ud800", "\\udc00\\ud800", "\\ud83d\\ude80", "\u202e", "\ufeff", "\ufffd", "\uffff", "e\u0301", "ﬃ", "İ", "ß", "漢字", "\U0001F680", "\\\\", "\\/", "\\q", "\\u12", "\t", "\n", "\\n",
        "\u007f", "\\u001b[31m", "<script>", "${PORT}", "$(reboot)", "'; drop table events; --", "../../etc/passwd", "%s%n", "%00", "a b", " a", "a\u00a0b", "UPPER", "a_b", "-a", "a-", "a.", ".a", "a..b", "a//b",
        "tasks", "restart", "versions", "*", ":", "=", ",", "a=b", "(", "[a-", "(a+)+$", "((((((((((a*)*)*)*)*)*)*)*)*)*",
    ];

    private static readonly string[] Words =
    [
        "id", "cmd", "args", "user", "env", "instances", "cpus", "mem", "disk", "gpus", "executor", "constraints", "fetch", "uris", "storeUrls", "backoffSeconds", "backoffFactor", "maxLaunchDelaySeconds",
        "container", "dependencies", "healthChecks", "readinessChecks", "labels", "networks", "ports", "portDefinitions", "requirePorts", "ipAddress", "acceptedResourceRoles", "role", "upgradeStrategy",
        "taskKillGracePeriodSeconds", "killSelection", "unreachableStrategy", "residency", "secrets", "tty", "resourceLimits", "version", "versionInfo", "type", "docker", "volumes", "portMappings", "image",
        "network", "parameters", "privileged", "pullConfig", "mode", "name", "containerPort", "hostPort", "servicePort", "protocol", "containerPath", "hostPath", "persistent", "path", "portIndex", "port",
        "command", "value", "key", "minimumHealthCapacity", "maximumOverCapacity", "inactiveAfterSeconds", "expungeAfterSeconds", "groups", "apps", "pods", "scaleBy", "enforceRole", "ids", "containers", "scaling",
        "scheduling", "secret", "logger", "level", "uri", "extract", "cache", "external", "provider", "size", "ID", "Id", "",
    ];

    /// <summary>What is longer is repeated once only: a long text a thousand times over is more than there is memory, and tells nothing that a megabyte does not.</summary>
    private const int RepeatedMax = 10_000;

    public byte[] Apply(JsonTree good)
    {
        var tree = good.Copy();
        var isWhole = chance.Hits(0.15);
        for (var left = isWhole ? 0 : 1 + chance.Below(chance.Hits(0.2) ? 8 : 2); left > 0; left--) Change(tree);
        var bytes = Encoding.UTF8.GetBytes(tree.ToString());
        return chance.Hits(0.15) ? Damage(bytes) : bytes;
    }

    private void Change(JsonTree tree)
    {
        var node = chance.Of(tree.All());
        switch (chance.Below(15))
        {
            case 0 when node.Items.Count > 0: node.Items.RemoveAt(chance.Below(node.Items.Count)); break;
            case 1 when node.Items.Count > 0: Repeat(node); break;
            case 2 when node.IsObject && node.Items.Count > 0: Rename(node); break;
            case 3 or 4: node.Become(Any(OddScalars)); break;
            case 5 or 6 or 7: node.Become(Any(OddNumbers)); break;
            case 8: node.Wrap(chance.Hits(0.5)); break;
            case 9: node.Become(chance.Of(tree.All())); break;
            case 10: Nest(node); break;
            case 11: node.Become(JsonTree.Scalar($"\"{Long()}\"")); break;
            case 12: node.Become(JsonTree.Scalar($"\"{OddText()}\"")); break;
            case 13: node.Become(chance.Of(chance.Of(donors).All())); break;
            default:
                if (node.IsObject) node.Items.Insert(chance.Below(node.Items.Count + 1), (Key(), chance.Of(chance.Of(donors).All()).Copy()));
                else node.Become(JsonTree.Scalar($"\"{OddText()}\""));
                break;
        }
    }

    private void Repeat(JsonTree node)
    {
        var item = chance.Of(node.Items);
        var times = chance.Hits(0.02) ? 1100 : chance.Hits(0.1) ? 40 + chance.Below(300) : 1;
        if (item.Value.All().Count > 20 || item.Value.ToString().Length > RepeatedMax) times = 1;
        for (var i = 0; i < times; i++) node.Items.Add((item.Key is not null && times > 1 ? $"{item.Key}{i}" : item.Key, item.Value.Copy()));
        if (chance.Hits(0.5)) node.Items[^1].Value.Become(Any(OddScalars));
    }

    private void Rename(JsonTree node)
    {
        var at = chance.Below(node.Items.Count);
        node.Items[at] = (Key(), node.Items[at].Value);
    }

    private void Nest(JsonTree node)
    {
        var depth = chance.Hits(0.1) ? 2000 : chance.Below(100);
        var isObject = chance.Hits(0.5);
        var text = isObject ? string.Concat(Enumerable.Repeat("{\"x\":", depth)) + "1" + new string('}', depth) : new string('[', depth) + new string(']', depth);
        node.Become(JsonTree.Scalar(text.Length > 0 ? text : "[]"));
    }

    private string Key() => chance.Hits(0.8) ? chance.Of(Words) : OddText();
    private JsonTree Any(string[] spellings) => JsonTree.Scalar(chance.Of(spellings));
    private string OddText() => string.Concat(Enumerable.Range(0, 1 + chance.Below(3)).Select(_ => chance.Of(OddTexts)));

    private string Long()
    {
        var unit = chance.Hits(0.5) ? "a" : chance.Hits(0.5) ? "/a" : chance.Of(OddTexts);
        var length = chance.Hits(0.02) ? 1 << 20 : chance.Hits(0.1) ? 70_000 : 1 + chance.Below(2000);
        return string.Concat(Enumerable.Repeat(unit, Math.Max(1, length / unit.Length)));
    }

    /// <summary>What goes wrong below JSON: on the way, or by another encoding.</summary>
    public byte[] Damage(byte[] bytes)
    {
        switch (chance.Below(13))
        {
            case 0: return bytes[..chance.Below(bytes.Length + 1)];
            case 1: return Flip(bytes);
            case 2: return [0xEF, 0xBB, 0xBF, .. bytes];
            case 3: return Encoding.Unicode.GetBytes(Encoding.UTF8.GetString(bytes));
            case 4: return [0xFE, 0xFF, .. Encoding.BigEndianUnicode.GetBytes(Encoding.UTF8.GetString(bytes))];
            case 5: return Encoding.Latin1.GetBytes(Encoding.UTF8.GetString(bytes) + "é");
            case 6: return [.. bytes, .. bytes];
            case 7: return [.. bytes, 0];
            case 8: return [.. bytes, .. "// and so on"u8];
            case 9: return [];
            case 10: return [.. " \r\n\t"u8];
            case 11 when bytes.Length > 0: return [.. bytes[..^1], (byte)',', bytes[^1]];
            default:
                var at = chance.Below(bytes.Length + 1);
                return [.. bytes[..at], .. Enumerable.Range(0, 1 + chance.Below(6)).Select(_ => (byte)chance.Below(256)), .. bytes[at..]];
        }
    }

    private byte[] Flip(byte[] bytes)
    {
        if (bytes.Length == 0) return bytes;
        var flipped = (byte[])bytes.Clone();
        for (var i = 0; i <= chance.Below(4); i++) flipped[chance.Below(flipped.Length)] ^= (byte)(1 << chance.Below(8));
        return flipped;
    }
}
