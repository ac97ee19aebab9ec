using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Platform.Tests.Discovery;

/// <summary>A client that transfers a zone: message after message until the start of authority comes again.</summary>
internal static class ZoneCopy
{
    public static async Task<List<DnsMessageText>> TakeAsync(IPEndPoint server, byte[] packet)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var client = new TcpClient(server.AddressFamily);
        await client.ConnectAsync(server, patience.Token);
        var stream = client.GetStream();
        await stream.WriteAsync((byte[])[(byte)(packet.Length >> 8), (byte)packet.Length, .. packet], patience.Token);
        var messages = new List<DnsMessageText>();
        for (string? first = null; ;)
        {
            var prefix = new byte[2];
            await stream.ReadExactlyAsync(prefix, patience.Token);
            var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
            await stream.ReadExactlyAsync(message, patience.Token);
            messages.Add(DnsMessageText.Read(message));
            if (messages[^1].Rcode != 0) return messages;
            first ??= DnsMessageText.FirstRecord(message);
            if (messages.Sum(x => x.Answers.Count(r => r == first)) >= 2 || (messages.Count == 1 && messages[0].Answers.Length == 1)) return messages;
        }
    }
}
