using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

// Parks blocking queries at a Consul HTTP API, each on a connection of its own, and wakes them: kv-parked ADDRESS:PORT PID QUERIES CHANGES
var door = IPEndPoint.Parse(args[0]);
var (pid, count, changes) = (Number(args[1]), Number(args[2]), Number(args[3]));
using var http = new HttpClient { BaseAddress = new Uri($"http://{door}") };

for (var i = 0; i < count; i += 64)
{
    var operations = Enumerable.Range(i, Math.Min(64, count - i)).Select(k => $$$"""{"KV":{"Verb":"set","Key":"parked/{{{k}}}","Value":"eA=="}}""");
    (await http.PutAsync("/v1/txn", new StringContent($"[{string.Join(',', operations)}]"))).EnsureSuccessStatusCode();
}
await PutAsync("all", "0");
var index = new long[count];
foreach (var entry in JsonDocument.Parse(await http.GetByteArrayAsync("/v1/kv/parked/?recurse")).RootElement.EnumerateArray())
    if (int.TryParse(entry.GetProperty("Key").GetString()!["parked/".Length..], out var key)) index[key] = entry.GetProperty("ModifyIndex").GetInt64();

var before = ResidentKiB();
var clients = new Parked[count];
for (var i = 0; i < count; i++)
{
    clients[i] = await Parked.OpenAsync(door);
    await clients[i].AskAsync($"parked/{i}", index[i]);
}
await Task.Delay(TimeSpan.FromSeconds(5));
var perQuery = (ResidentKiB() - before) / (double)count;

// One of them at a time: how soon its client has the news.
var (single, late) = (new List<double>(), new List<double>());
for (var i = 0; i < changes; i++)
{
    var chosen = (int)((long)i * 7919 % count);
    var began = Stopwatch.GetTimestamp();
    var answer = ElapsedAsync(clients[chosen], began);
    await PutAsync(chosen.ToString(CultureInfo.InvariantCulture), $"{i}");
    var written = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
    var seen = await answer;
    single.Add(seen);
    late.Add(Math.Max(0, seen - written));
    await clients[chosen].AskAsync($"parked/{chosen}", clients[chosen].Index);
}

// All of them by one change. Those that wait for their own key are answered first, each by a change of it.
foreach (var client in clients) client.Dispose();
await Task.Delay(TimeSpan.FromSeconds(5)); // the server is to have noticed
var allIndex = long.Parse((await http.GetAsync("/v1/kv/parked/all")).Headers.GetValues("X-Consul-Index").Single(), CultureInfo.InvariantCulture);
for (var i = 0; i < count; i++)
{
    clients[i] = await Parked.OpenAsync(door);
    await clients[i].AskAsync("parked/all", allIndex);
}
await Task.Delay(TimeSpan.FromSeconds(5));
var at = Stopwatch.GetTimestamp();
var answers = clients.Select(c => ElapsedAsync(c, at)).ToArray();
await PutAsync("all", "1");
var all = await Task.WhenAll(answers);
Array.Sort(all);
single.Sort();
late.Sort();
Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
    $"{perQuery:F1} {single[single.Count / 2]:F2} {single[single.Count * 99 / 100]:F2} {late[late.Count * 99 / 100]:F2} {all[0]:F1} {all[all.Length / 2]:F1} {all[^1]:F1}"));

static async Task<double> ElapsedAsync(Parked client, long since)
{
    await client.AnswerAsync();
    return Stopwatch.GetElapsedTime(since).TotalMilliseconds;
}

static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

async Task PutAsync(string key, string value) => (await http.PutAsync($"/v1/kv/parked/{key}", new StringContent(value))).EnsureSuccessStatusCode();

long ResidentKiB() => long.Parse(File.ReadLines($"/proc/{pid}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);

/// <summary>One connection with one query on its way.</summary>
internal sealed class Parked : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    public long Index { get; private set; }

    public static async Task<Parked> OpenAsync(IPEndPoint door)
    {
        var parked = new Parked();
        await parked._socket.ConnectAsync(door);
        return parked;
    }

    public async Task AskAsync(string key, long index) =>
        await _socket.SendAsync(Encoding.ASCII.GetBytes($"GET /v1/kv/{key}?index={index}&wait=10m HTTP/1.1\r\nHost: x\r\n\r\n"));

    public async Task AnswerAsync()
    {
        var buffer = new byte[2048];
        var length = 0;
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            var read = await _socket.ReceiveAsync(buffer.AsMemory(length), patience.Token);
            if (read == 0) throw new IOException("the door has closed the connection");
            var text = Encoding.ASCII.GetString(buffer, 0, length += read);
            if (!text.StartsWith("HTTP/1.1 200", StringComparison.Ordinal)) throw new IOException(text);
            var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (end < 0 || length < end + 4 + (int)Header(text, "Content-Length: ")) continue;
            Index = Header(text, "X-Consul-Index: ");
            return;
        }
    }

    public void Dispose() => _socket.Dispose();

    private static long Header(string text, string name)
    {
        var from = text.IndexOf(name, StringComparison.OrdinalIgnoreCase) + name.Length;
        return long.Parse(text.AsSpan(from, text.IndexOf('\r', from) - from), CultureInfo.InvariantCulture);
    }
}
