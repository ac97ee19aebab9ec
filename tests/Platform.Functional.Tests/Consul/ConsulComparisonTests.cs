using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Consul;

/// <summary>The same requests to real Consul 1.8.7 and to our door; the answers must be the same but for what is volatile.</summary>
public sealed class ConsulComparisonTests(ConsulWorld world) : IClassFixture<ConsulWorld>
{
    private static readonly Dictionary<string, string> Scripts = new()
    {
        ["a key's life"] = """
            GET /v1/kv/life/a
            PUT /v1/kv/life/a <<< one
            GET /v1/kv/life/a
            PUT /v1/kv/life/a <<< one
            GET /v1/kv/life/a
            PUT /v1/kv/life/a?flags=42 <<< one
            GET /v1/kv/life/a
            GET /v1/kv/life/a?raw
            PUT /v1/kv/life/a
            GET /v1/kv/life/a
            GET /v1/kv/life/a?raw
            DELETE /v1/kv/life/a
            DELETE /v1/kv/life/a
            GET /v1/kv/life/a
            GET /v1/kv/life/a?raw
            """,
        ["check and set"] = """
            PUT /v1/kv/cas/a?cas=7 <<< no
            PUT /v1/kv/cas/a?cas=0 <<< one
            $i = GET /v1/kv/cas/a
            PUT /v1/kv/cas/a?cas=0 <<< two
            PUT /v1/kv/cas/a?cas=$i <<< two
            PUT /v1/kv/cas/a?cas=$i <<< three
            GET /v1/kv/cas/a?raw
            DELETE /v1/kv/cas/a?cas=0
            DELETE /v1/kv/cas/a?cas=$i
            $j = GET /v1/kv/cas/a
            DELETE /v1/kv/cas/a?cas=$j
            GET /v1/kv/cas/a
            DELETE /v1/kv/cas/missing?cas=5
            DELETE /v1/kv/cas/missing?cas=0
            PUT /v1/kv/cas/a?cas= <<< x
            PUT /v1/kv/cas/a?cas=x <<< x
            PUT /v1/kv/cas/a?cas=-1 <<< x
            PUT /v1/kv/cas/a?cas=18446744073709551616 <<< x
            DELETE /v1/kv/cas/a?cas=y
            """,
        ["flags and sizes"] = """
            PUT /v1/kv/size/f?flags=18446744073709551615 <<< x
            GET /v1/kv/size/f
            PUT /v1/kv/size/f?flags=18446744073709551616 <<< x
            PUT /v1/kv/size/f?flags=-1 <<< x
            PUT /v1/kv/size/f?flags= <<< x
            PUT /v1/kv/size/full <<< zeros 524288
            DELETE /v1/kv/size/full
            """,
        ["prefixes"] = """
            PUT /v1/kv/tree/b/1 <<< x
            PUT /v1/kv/tree/a <<< x
            PUT /v1/kv/tree/b/2/deep <<< x
            PUT /v1/kv/tree/b <<< x
            PUT /v1/kv/tree/dir/
            PUT /v1/kv/treetop <<< x
            GET /v1/kv/tree?recurse
            GET /v1/kv/tree/?recurse
            GET /v1/kv/tree/b?recurse
            GET /v1/kv/tree/?keys
            GET /v1/kv/tree/?keys&separator=/
            GET /v1/kv/tree?keys&separator=/
            GET /v1/kv/tree/b?keys&separator=/
            GET /v1/kv/tree/?keys&separator=b
            GET /v1/kv/tree/?recurse&raw
            GET /v1/kv/tree/?recurse&keys
            GET /v1/kv/tree/nothing?recurse
            GET /v1/kv/tree/nothing?keys
            DELETE /v1/kv/tree/b?recurse
            GET /v1/kv/tree/?keys
            GET /v1/kv/tree/?recurse
            DELETE /v1/kv/tree?recurse
            GET /v1/kv/tree?keys
            """,
        ["spellings of keys"] = """
            PUT /v1/kv/spell%2Fa <<< slash
            GET /v1/kv/spell/a?raw
            PUT /v1/kv/spell%252Fa <<< escaped
            GET /v1/kv/spell%252Fa
            PUT /v1/kv/spell/%C3%A7 <<< cedilla
            GET /v1/kv/spell/%C3%A7
            PUT /v1/kv/spell/a%20b%3Fc <<< odd
            GET /v1/kv/spell/?keys
            GET /v1/kv/?recurse=&stale=&keys=1&separator=%2F
            DELETE /v1/kv/spell?recurse
            """,
        ["what cannot be"] = """
            GET /v1/kv/
            PUT /v1/kv/ <<< x
            DELETE /v1/kv/
            POST /v1/kv/a <<< x
            OPTIONS /v1/kv/a
            GET /v1/kv/a?stale&consistent
            GET /v1/kv/a?index=x
            GET /v1/kv/a?wait=x
            PUT /v1/kv/a?cas=0&acquire=1 <<< x
            PUT /v1/kv/a?acquire=1&release=2 <<< x
            DELETE /v1/kv/a?recurse&cas=1
            GET /v1/session/create
            PUT /v1/session/list
            PUT /v1/session/info/11111111-1111-1111-1111-111111111111
            GET /v1/txn
            PUT /v1/status/leader
            GET /v1/session/info/
            PUT /v1/session/destroy/
            PUT /v1/session/renew/
            GET /v1/session/node/
            """,
        ["a session's life"] = """
            GET /v1/session/list
            $s = PUT /v1/session/create <<< {"Name":"boss","TTL":"15.000000s","LockDelay":"15000ms","Behavior":"delete"}
            GET /v1/session/info/$s
            PUT /v1/session/renew/$s
            GET /v1/session/list
            PUT /v1/session/destroy/$s
            PUT /v1/session/destroy/$s
            GET /v1/session/info/$s
            PUT /v1/session/renew/$s
            GET /v1/session/node/nobody
            """,
        ["sessions as clients spell them"] = """
            $a = PUT /v1/session/create
            $b = PUT /v1/session/create <<< {}
            $c = PUT /v1/session/create <<< {"lockdelay":5,"ttl":"0"}
            $d = PUT /v1/session/create <<< {"LockDelay":5000000000,"TTL":"0s","Checks":[]}
            $e = PUT /v1/session/create <<< {"LockDelay":5000,"NodeChecks":[],"Unknown":1}
            $f = PUT /v1/session/create <<< {"LockDelay":"61s","TTL":"86400s","Checks":null}
            $g = PUT /v1/session/create <<< {"LockDelay":"1ms","TTL":"1m30s","Behavior":"release"}
            GET /v1/session/info/$a
            GET /v1/session/info/$b
            GET /v1/session/info/$c
            GET /v1/session/info/$d
            GET /v1/session/info/$e
            GET /v1/session/info/$f
            GET /v1/session/info/$g
            PUT /v1/session/create <<< {"TTL":"5s"}
            PUT /v1/session/create <<< {"TTL":"90000s"}
            PUT /v1/session/create <<< {"TTL":"x"}
            PUT /v1/session/create <<< {"TTL":"10"}
            PUT /v1/session/create <<< {"TTL":10}
            PUT /v1/session/create <<< {"Behavior":"keep"}
            PUT /v1/session/create <<< {"LockDelay":"x"}
            PUT /v1/session/create <<< {"Name":5}
            PUT /v1/session/create <<< {"Node":"nowhere"}
            PUT /v1/session/create <<< {"Checks":["nope"]}
            PUT /v1/session/create <<< {"ServiceChecks":[{"ID":"nope"}]}
            PUT /v1/session/create <<< junk
            PUT /v1/session/renew/short
            PUT /v1/session/destroy/$a
            PUT /v1/session/destroy/$b
            PUT /v1/session/destroy/$c
            PUT /v1/session/destroy/$d
            PUT /v1/session/destroy/$e
            PUT /v1/session/destroy/$f
            PUT /v1/session/destroy/$g
            """,
        ["locks"] = """
            $a = PUT /v1/session/create <<< {"Name":"a","LockDelay":"0s"}
            $b = PUT /v1/session/create <<< {"Name":"b","LockDelay":"0s"}
            PUT /v1/kv/lock/x?acquire=$a&flags=7 <<< a1
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/x?acquire=$a&flags=7 <<< a1
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/x?acquire=$a <<< a2
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/x?acquire=$b <<< b1
            PUT /v1/kv/lock/x?release=$b <<< b1
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/x?release=$a <<< free
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/x?release=$a <<< free
            PUT /v1/kv/lock/x?acquire=$b <<< b1
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/x <<< anybody
            GET /v1/kv/lock/x
            $i = GET /v1/kv/lock/x
            PUT /v1/kv/lock/x?cas=$i <<< cas
            GET /v1/kv/lock/x
            PUT /v1/session/destroy/$b
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/x?acquire=$a <<< a3
            GET /v1/kv/lock/x
            DELETE /v1/kv/lock/x
            PUT /v1/kv/lock/x?acquire=$a <<< a4
            GET /v1/kv/lock/x
            PUT /v1/kv/lock/y?release=$a <<< never
            PUT /v1/kv/lock/x?acquire=11111111-1111-1111-1111-111111111111 <<< x
            PUT /v1/kv/lock/x?acquire=short <<< x
            PUT /v1/kv/lock/x?acquire= <<< x
            PUT /v1/kv/lock/x?release= <<< x
            PUT /v1/session/destroy/$a
            DELETE /v1/kv/lock?recurse
            """,
        ["lock-delay and behaviour"] = """
            $a = PUT /v1/session/create <<< {"LockDelay":"60s"}
            $b = PUT /v1/session/create <<< {"LockDelay":"60s","Behavior":"delete"}
            $c = PUT /v1/session/create
            PUT /v1/kv/delay/a1?acquire=$a <<< x
            PUT /v1/kv/delay/a2?acquire=$a <<< x
            PUT /v1/kv/delay/let-go?acquire=$a <<< x
            PUT /v1/kv/delay/let-go?release=$a <<< x
            PUT /v1/kv/delay/b?acquire=$b <<< x
            PUT /v1/session/destroy/$a
            PUT /v1/session/destroy/$b
            GET /v1/kv/delay?recurse
            PUT /v1/kv/delay/a1?acquire=$c <<< c
            PUT /v1/kv/delay/b?acquire=$c <<< c
            PUT /v1/kv/delay/a1?acquire=11111111-1111-1111-1111-111111111111 <<< c
            PUT /v1/kv/delay/let-go?acquire=$c <<< c
            PUT /v1/kv/delay/a1 <<< plain writes go through
            GET /v1/kv/delay?recurse
            PUT /v1/txn <<< [{"KV":{"Verb":"lock","Key":"delay/a2","Session":"$c"}}]
            PUT /v1/session/destroy/$c
            DELETE /v1/kv/delay?recurse
            """,
        ["transactions"] = """
            $s = PUT /v1/session/create <<< {"LockDelay":"0s"}
            PUT /v1/txn <<< []
            PUT /v1/txn <<< [{}]
            PUT /v1/txn <<< [{"KV":null}]
            PUT /v1/txn <<< [{"KV":{"Verb":"set","Key":"txn/a","Value":"YQ==","Flags":5}},{"KV":{"Verb":"set","Key":"txn/b","Value":null}},{"KV":{"Verb":"get-tree","Key":"txn/"}},{"KV":{"Verb":"check-not-exists","Key":"txn/c"}}]
            GET /v1/kv/txn?recurse
            $i = GET /v1/kv/txn/a
            PUT /v1/txn <<< [{"KV":{"Verb":"check-index","Key":"txn/a","Index":$i}},{"KV":{"Verb":"cas","Key":"txn/a","Index":$i,"Value":"Yg=="}},{"KV":{"Verb":"get","Key":"txn/a"}},{"KV":{"Verb":"cas","Key":"txn/new","Index":0,"Value":"Yw=="}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"get","Key":"txn/a"}},{"KV":{"Verb":"get-tree","Key":"txn/"}},{"KV":{"Verb":"check-session","Key":"txn/a","Session":""}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"get-tree","Key":"txn/none"}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"lock","Key":"txn/l","Value":"bQ==","Session":"$s"}},{"KV":{"Verb":"check-session","Key":"txn/l","Session":"$s"}},{"KV":{"Verb":"unlock","Key":"txn/l","Value":"bg==","Session":"$s"}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"set","Key":"txn/never","Value":"YQ=="}},{"KV":{"Verb":"check-not-exists","Key":"txn/a"}},{"KV":{"Verb":"get","Key":"txn/none"}},{"KV":{"Verb":"cas","Key":"txn/a","Index":1,"Value":"YQ=="}}]
            GET /v1/kv/txn/never
            PUT /v1/txn <<< [{"KV":{"Verb":"check-index","Key":"txn/a","Index":1}},{"KV":{"Verb":"check-session","Key":"txn/a","Session":"x"}},{"KV":{"Verb":"lock","Key":"txn/a"}},{"KV":{"Verb":"lock","Key":"txn/a","Session":"x"}},{"KV":{"Verb":"lock","Key":"txn/a","Session":"11111111-1111-1111-1111-111111111111"}},{"KV":{"Verb":"unlock","Key":"txn/a","Session":"11111111-1111-1111-1111-111111111111"}},{"KV":{"Verb":"delete-cas","Key":"txn/a","Index":1}},{"KV":{"Verb":"unlock","Key":"txn/a"}},{"KV":{"Verb":"delete-cas","Key":"txn/none","Index":3}},{"KV":{"Verb":"check-index","Key":"txn/none","Index":1}},{"KV":{"Verb":"check-session","Key":"txn/none","Session":"x"}},{"KV":{"Verb":"get-tree","Key":"txn/none"}},{"KV":{"Verb":"delete-tree","Key":"txn/none"}},{"KV":{"Verb":"nonsense","Key":"txn/none"}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"nonsense","Key":"txn/a"}}]
            PUT /v1/txn <<< [{"KV":{"Key":"txn/a"}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"set","Key":""}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"delete","Key":"txn/a"}},{"KV":{"Verb":"set","Key":"txn/a","Value":"YQ=="}},{"KV":{"Verb":"delete-tree","Key":"txn/"}},{"KV":{"Verb":"set","Key":"txn/z","Value":"eg=="}}]
            GET /v1/kv/txn?recurse
            PUT /v1/txn <<< {}
            PUT /v1/txn <<< junk
            PUT /v1/txn
            PUT /v1/txn <<< [{"KV":{"Verb":"set","Key":"txn/a","Value":"!!"}}]
            PUT /v1/txn <<< [{"KV":{"Verb":"set","Key":"txn/a","Nonsense":1}}]
            PUT /v1/session/destroy/$s
            DELETE /v1/kv/txn?recurse
            """,
        ["fresh and stale"] = """
            PUT /v1/kv/fresh/a <<< x
            GET /v1/kv/fresh/a?consistent
            GET /v1/kv/fresh/a?stale
            GET /v1/kv/fresh/?recurse&consistent
            GET /v1/kv/fresh/a?index=0&wait=1s
            GET /v1/kv/fresh/a?index=99999999999&wait=10ms
            GET /v1/kv/fresh/none?index=99999999999&wait=10ms
            GET /v1/session/list?consistent
            GET /v1/kv/fresh/a?unknown=parameter&dc=dc1
            DELETE /v1/kv/fresh?recurse
            """,
    };

    public static TheoryData<string> Names => [.. Scripts.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Both_answer_the_same(string name)
    {
        var real = await new ConsulScript(world.Real.Http, RealConsul.NodeName).RunAsync(Scripts[name]);
        var ours = await new ConsulScript(world.Ours.Kv, world.Ours.NodeName).RunAsync(Scripts[name]);
        Assert.Equal(Lines(real), Lines(ours));
    }

    /// <summary>In one of them there may be keys that the other does not have: those that show what runs.</summary>
    private static string Lines(string transcript) => transcript
        .Replace("\"platform/\", ", "", StringComparison.Ordinal).Replace(", \"platform/\"", "", StringComparison.Ordinal);
}
