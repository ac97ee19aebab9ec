using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Platform.Functional.Tests.Rig;

internal sealed record FailedRequest(DateTimeOffset BeganAt, DateTimeOffset EndedAt, string Why)
{
    public override string ToString() => $"{BeganAt:HH:mm:ss.fff}–{EndedAt:HH:mm:ss.fff} {Why}";
}

internal sealed record LoadResult(long Answered, FailedRequest[] Failed)
{
    public override string ToString() => $"{Answered} answered, {Failed.Length} failed:\n{string.Join('\n', Failed.Take(20).AsEnumerable())}";
}

/// <summary>
/// Requests without pause over plain sockets, every one counted. HttpClient would quietly send a request again when a kept connection
/// breaks; this does not: whatever a simple client would see as a failure is one. Half the workers keep their connection, half open one for each request.
/// </summary>
internal sealed class Load : IAsyncDisposable
{
    // Enough to keep requests in flight at any time, little enough to leave the platform a core of the two.
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan RequestLimit = TimeSpan.FromSeconds(Eventually.Patience);

    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<FailedRequest> _failed = [];
    private readonly Task[] _workers;
    private readonly Uri _uri;
    private readonly byte[] _kept;
    private readonly byte[] _single;
    private long _answered;

    private Load(Uri uri, string? host, int workers)
    {
        _uri = uri;
        var head = $"GET {uri.PathAndQuery} HTTP/1.1\r\nHost: {host ?? uri.Authority}\r\nUser-Agent: functional-tests\r\n";
        _kept = Encoding.ASCII.GetBytes($"{head}\r\n");
        _single = Encoding.ASCII.GetBytes($"{head}Connection: close\r\n\r\n");
        _workers = [.. Enumerable.Range(0, workers).Select(i => Task.Run(() => WorkAsync(keep: i % 2 == 0)))];
    }

    public int Workers => _workers.Length;
    public long Answered => Interlocked.Read(ref _answered);
    public FailedRequest[] FailedSoFar => [.. _failed];

    public static Load Start(Uri uri, string? host = null, int workers = 4) => new(uri, host, workers);

    /// <summary>Waits until that many more requests were answered: so that a step of a test has been under traffic.</summary>
    public Task MoreAnsweredAsync(long count)
    {
        var target = Answered + count;
        return Eventually.HoldsAsync($"{count} more requests answered", () => Task.FromResult(Answered >= target));
    }

    public async Task<LoadResult> StopAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_workers);
        return new LoadResult(Answered, FailedSoFar);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _stop.Dispose();
    }

    private async Task WorkAsync(bool keep)
    {
        Connection? connection = null;
        while (!_stop.IsCancellationRequested)
        {
            var began = DateTimeOffset.UtcNow;
            using var limit = new CancellationTokenSource(RequestLimit);
            try
            {
                connection ??= await Connection.OpenAsync(_uri.Host, _uri.Port, limit.Token);
                var (status, close) = await connection.RoundTripAsync(keep ? _kept : _single, limit.Token);
                if (status is >= 200 and < 300) Interlocked.Increment(ref _answered);
                else _failed.Enqueue(new FailedRequest(began, DateTimeOffset.UtcNow, $"status {status}"));
                if (close)
                {
                    connection.Dispose();
                    connection = null;
                }
            }
            catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or FormatException)
            {
                _failed.Enqueue(new FailedRequest(began, DateTimeOffset.UtcNow, $"{e.GetType().Name}: {e.Message}"));
                connection?.Dispose();
                connection = null;
            }
            await Task.Delay(Pause);
        }
        connection?.Dispose();
    }

    private sealed class Connection(Socket socket) : IDisposable
    {
        private readonly byte[] _buffer = new byte[16 * 1024];
        private int _from;
        private int _to;

        public static async Task<Connection> OpenAsync(string host, int port, CancellationToken cancel)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(host, port, cancel);
                return new Connection(socket);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }

        public async Task<(int Status, bool Close)> RoundTripAsync(byte[] request, CancellationToken cancel)
        {
            await socket.SendAsync(request, cancel);
            var statusLine = await LineAsync(cancel);
            if (!statusLine.StartsWith("HTTP/1.", StringComparison.Ordinal)) throw new FormatException($"no status line: {statusLine}");
            var status = int.Parse(statusLine.AsSpan(9, 3), CultureInfo.InvariantCulture);
            long? length = null;
            var (chunked, close) = (false, false);
            for (var line = await LineAsync(cancel); line.Length > 0; line = await LineAsync(cancel))
            {
                var colon = line.IndexOf(':');
                var (name, value) = (line[..colon], line[(colon + 1)..].Trim());
                if (name.Equals("Content-Length", StringComparison.OrdinalIgnoreCase)) length = long.Parse(value, CultureInfo.InvariantCulture);
                else if (name.Equals("Transfer-Encoding", StringComparison.OrdinalIgnoreCase)) chunked = value.Contains("chunked", StringComparison.OrdinalIgnoreCase);
                else if (name.Equals("Connection", StringComparison.OrdinalIgnoreCase)) close = value.Contains("close", StringComparison.OrdinalIgnoreCase);
            }
            if (chunked) await SkipChunksAsync(cancel);
            else if (length is { } bytes) await SkipAsync(bytes, cancel);
            else throw new FormatException("neither Content-Length nor chunked");
            return (status, close);
        }

        public void Dispose() => socket.Dispose();

        private async Task SkipChunksAsync(CancellationToken cancel)
        {
            for (; ; )
            {
                var size = long.Parse((await LineAsync(cancel)).Split(';')[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                await SkipAsync(size, cancel);
                await LineAsync(cancel);
                if (size == 0) return;
            }
        }

        private async Task SkipAsync(long bytes, CancellationToken cancel)
        {
            while (bytes > 0)
            {
                if (_from == _to) await FillAsync(cancel);
                var taken = (int)Math.Min(bytes, _to - _from);
                _from += taken;
                bytes -= taken;
            }
        }

        private async Task<string> LineAsync(CancellationToken cancel)
        {
            var line = new StringBuilder();
            for (; ; )
            {
                if (_from == _to) await FillAsync(cancel);
                var at = Array.IndexOf(_buffer, (byte)'\n', _from, _to - _from);
                var end = at < 0 ? _to : at;
                line.Append(Encoding.ASCII.GetString(_buffer, _from, end - _from));
                _from = at < 0 ? _to : at + 1;
                if (at >= 0) return line.ToString().TrimEnd('\r');
                if (line.Length > _buffer.Length) throw new FormatException("a line without end");
            }
        }

        private async Task FillAsync(CancellationToken cancel)
        {
            _from = 0;
            _to = await socket.ReceiveAsync(_buffer, cancel);
            if (_to == 0) throw new IOException("the connection was closed before the answer was complete");
        }
    }
}
