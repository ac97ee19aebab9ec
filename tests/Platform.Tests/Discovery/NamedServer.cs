using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Platform.Discovery;

namespace Platform.Tests.Discovery;

/// <summary>Debian's BIND as a secondary of ours, on a loopback port, with a directory of its own.</summary>
internal sealed class NamedServer : IAsyncDisposable
{
    private readonly Process _process;
    private readonly DirectoryInfo _home;
    private readonly System.Text.StringBuilder _log = new();

    private NamedServer(Process process, DirectoryInfo home, IPEndPoint endPoint)
    {
        (_process, _home, EndPoint) = (process, home, endPoint);
        process.OutputDataReceived += Note;
        process.ErrorDataReceived += Note;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public IPEndPoint EndPoint { get; }

    /// <summary>Whether changes have come by IXFR: it keeps a journal of those.</summary>
    public bool HasJournal(string zone) => File.Exists(Path.Combine(_home.FullName, $"{zone}.db.jnl"));

    public string Log
    {
        get
        {
            lock (_log) return _log.ToString();
        }
    }

    /// <summary>A port that nobody had a moment ago.</summary>
    public static int FreePort()
    {
        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var udp = new UdpClient((IPEndPoint)listener.LocalEndpoint);
        listener.Stop();
        return ((IPEndPoint)udp.Client.LocalEndPoint!).Port;
    }

    /// <param name="primary">Where the zones are copied from.</param>
    public static NamedServer Start(int port, IPEndPoint primary, params string[] zones)
    {
        var home = Directory.CreateTempSubdirectory("platform-named-");
        File.WriteAllText(Path.Combine(home.FullName, "named.conf"), string.Create(CultureInfo.InvariantCulture, $$"""
            options {
              directory "{{home.FullName}}"; pid-file "{{home.FullName}}/named.pid"; session-keyfile "{{home.FullName}}/session.key";
              listen-on port {{port}} { 127.0.0.1; }; listen-on-v6 { none; };
              recursion no; dnssec-validation no; empty-zones-enable no; minimal-responses no-auth; max-udp-size 1232; edns-udp-size 1232;
              notify no; serial-query-rate 1000; zero-no-soa-ttl no; max-records-per-type 0; max-types-per-name 0;
            };
            controls { };
            {{string.Join('\n', zones.Select(x => $$"""zone "{{x}}" { type secondary; primaries port {{primary.Port}} { {{primary.Address}}; }; file "{{x}}.db"; };"""))}}
            """));
        var process = Process.Start(new ProcessStartInfo("named", ["-g", "-4", "-n", "1", "-c", Path.Combine(home.FullName, "named.conf")])
        {
            RedirectStandardOutput = true, RedirectStandardError = true,
        })!;
        return new NamedServer(process, home, new IPEndPoint(IPAddress.Loopback, port));
    }

    /// <summary>Waits until it has a state of a zone at least as new.</summary>
    public async Task HasAsync(string zone, uint serial)
    {
        var patience = Stopwatch.StartNew();
        while (true)
        {
            if (_process.HasExited) Assert.Fail($"named has ended:\n{Log}");
            var reply = await DnsMessageText.AskAsync(EndPoint, DnsWireTests.Packet(zone, DnsType.SOA), TimeSpan.FromSeconds(1));
            var soa = reply?.Answers.FirstOrDefault(x => x.Contains(" SOA ", StringComparison.Ordinal));
            if (soa is not null && uint.Parse(soa.Split(' ')[^5], CultureInfo.InvariantCulture) >= serial) return;
            if (patience.Elapsed > TimeSpan.FromSeconds(90)) Assert.Fail($"named does not have {zone} at {serial}, but {soa ?? "nothing"}:\n{Log}");
            await Task.Delay(20);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _home.Delete(recursive: true);
    }

    private void Note(object sender, DataReceivedEventArgs line)
    {
        lock (_log)
            if (_log.Length < 100_000) _log.AppendLine(line.Data);
    }
}
