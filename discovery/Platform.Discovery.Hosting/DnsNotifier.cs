using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;

namespace Platform.Discovery.Hosting;

/// <summary>
/// Tells secondaries that a zone has changed (RFC 1996): one question a zone and server at a time, repeated until it is acknowledged or the
/// tries are used up, for the next change asks again, and so does the secondary's own refresh. Many changes in a row are one notice.
/// </summary>
internal sealed partial class DnsNotifier(DnsSecondaries secondaries, IReadOnlyList<string> zones, TimeProvider time, ILogger logger)
{
    private const int TriesMax = 5;
    private static readonly TimeSpan FirstPatience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    private readonly Lock _changing = new();
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _serial = -1;

    public void Tell(uint serial)
    {
        lock (_changing)
        {
            if (_serial == serial) return;
            _serial = serial;
            var waiters = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiters.TrySetResult();
        }
    }

    public Task RunAsync(CancellationToken stopping) => Task.WhenAll(secondaries.Notified.Items.Select(x => FollowAsync(x, stopping)));

    private async Task FollowAsync(IPEndPoint secondary, CancellationToken stopping)
    {
        long told = -1;
        while (true)
        {
            var changed = _changed; // before the look, so that a change in between wakes us
            var serial = Interlocked.Read(ref _serial);
            if (serial == told) await changed.Task.WaitAsync(stopping).ConfigureAwait(false);
            else
            {
                told = serial;
                foreach (var zone in zones)
                    if (!await NotifyAsync(secondary, zone, stopping).ConfigureAwait(false)) NotAcknowledged(secondary, zone, TriesMax);
                await Task.Delay(Pause, time, stopping).ConfigureAwait(false);
            }
        }
    }

    private static async Task<bool> NotifyAsync(IPEndPoint secondary, string zone, CancellationToken stopping)
    {
        var patience = FirstPatience;
        for (var tries = 0; tries < TriesMax; tries++, patience *= 2)
        {
            var id = (ushort)RandomNumberGenerator.GetInt32(ushort.MaxValue + 1);
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            deadline.CancelAfter(patience);
            try
            {
                using var socket = new Socket(secondary.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
                await socket.ConnectAsync(secondary, deadline.Token).ConfigureAwait(false);
                await socket.SendAsync(DnsWire.Notice(id, zone), deadline.Token).ConfigureAwait(false);
                var buffer = new byte[DnsWire.UdpPlainMax];
                while (true)
                {
                    var length = await socket.ReceiveAsync(buffer, deadline.Token).ConfigureAwait(false);
                    if (DnsWire.AcknowledgesNotice(buffer.AsSpan(0, length), id)) return true;
                }
            }
            catch (SocketException)
            {
                await Task.Delay(patience, stopping).ConfigureAwait(false); // nobody listens there now
            }
            catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
            {
                // Silence: a datagram may get lost.
            }
        }
        return false;
    }

    [LoggerMessage(5201, LogLevel.Warning, "Secondary {Secondary} did not acknowledge that zone {Zone} changed, asked {Tries} times")]
    private partial void NotAcknowledged(IPEndPoint secondary, string zone, int tries);
}
