using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Platform.Discovery.Hosting;

/// <summary>
/// Datagrams received and answered many to a system call (Linux recvmmsg and sendmmsg, which .NET's sockets do not offer). One thread uses it.
/// All memory is taken once: receiving and sending allocate nothing.
/// </summary>
internal sealed unsafe partial class DatagramBatch : IDisposable
{
    private const int Size = 32;
    private const int PacketMax = 4096; // a query that is longer is no query: what is cut off makes it malformed
    private const int AddressMax = 28; // sockaddr_in6
    private const int WaitForOne = 0x10000; // MSG_WAITFORONE: block for the first, take what else is there
    private const int NoSignal = 0x4000; // MSG_NOSIGNAL
    private const int Interrupted = 4; // EINTR

    private readonly SafeSocketHandle _socket;
    private readonly AddressFamily _family;
    private readonly int _replyMax;
    private readonly byte* _packets;
    private readonly byte* _replies;
    private readonly byte* _addresses;
    private readonly Vector* _vectors;
    private readonly Message* _received;
    private readonly Message* _queued;
    private readonly bool _held;
    private int _waiting;

    /// <summary>Keeps the handle from being closed under a call; a close makes the call return, and the owner of the batch lets go.</summary>
    public DatagramBatch(SafeSocketHandle socket, AddressFamily family, int replyMax)
    {
        (_socket, _family, _replyMax) = (socket, family, replyMax);
        socket.DangerousAddRef(ref _held);
        _packets = (byte*)NativeMemory.Alloc(Size, PacketMax);
        _replies = (byte*)NativeMemory.Alloc(Size, (nuint)replyMax);
        _addresses = (byte*)NativeMemory.AllocZeroed(Size, AddressMax);
        _vectors = (Vector*)NativeMemory.Alloc(2 * Size, (nuint)sizeof(Vector));
        _received = (Message*)NativeMemory.AllocZeroed(Size, (nuint)sizeof(Message));
        _queued = (Message*)NativeMemory.AllocZeroed(Size, (nuint)sizeof(Message));
        for (var i = 0; i < Size; i++)
        {
            _vectors[i] = new Vector { Base = _packets + (i * PacketMax), Length = PacketMax };
            _received[i] = new Message { Name = _addresses + (i * AddressMax), Vectors = _vectors + i, VectorCount = 1 };
        }
    }

    /// <summary>Waits for a datagram and takes all that are there, up to the batch's size. What was queued and not sent is forgotten.</summary>
    public int Receive()
    {
        _waiting = 0;
        for (var i = 0; i < Size; i++) _received[i].NameLength = AddressMax;
        while (true)
        {
            var count = ReceiveMany((int)_socket.DangerousGetHandle(), _received, Size, WaitForOne, 0);
            if (count >= 0) return count;
            if (Marshal.GetLastPInvokeError() is var error and not Interrupted) throw Failure(error);
        }
    }

    public ReadOnlySpan<byte> Packet(int index) => new(_packets + (index * PacketMax), (int)_received[index].Length);

    /// <summary>Room for the answer to a packet.</summary>
    public Span<byte> Reply(int index) => new(_replies + (index * _replyMax), _replyMax);

    /// <summary>The sender's address, 4 or 16 bytes.</summary>
    public ReadOnlySpan<byte> AddressOf(int index) =>
        _family == AddressFamily.InterNetwork ? new(_addresses + (index * AddressMax) + 4, 4) : new(_addresses + (index * AddressMax) + 8, 16);

    public IPEndPoint EndPointOf(int index)
    {
        var raw = new ReadOnlySpan<byte>(_addresses + (index * AddressMax), AddressMax);
        var address = _family == AddressFamily.InterNetwork ? new IPAddress(AddressOf(index)) : new IPAddress(AddressOf(index), MemoryMarshal.Read<uint>(raw[24..]));
        return new IPEndPoint(address, BinaryPrimitives.ReadUInt16BigEndian(raw[2..]));
    }

    /// <summary>The answer to a packet is in its place; it goes out with the next <see cref="Send"/>.</summary>
    public void Queue(int index, int length)
    {
        var at = _waiting++;
        _vectors[Size + at] = new Vector { Base = _replies + (index * _replyMax), Length = (nuint)length };
        _queued[at] = new Message { Name = _addresses + (index * AddressMax), NameLength = _received[index].NameLength, Vectors = _vectors + Size + at, VectorCount = 1 };
    }

    /// <summary>Sends what is queued. One that cannot be sent does not hold up the others; the first reason is thrown at the end.</summary>
    public void Send()
    {
        var failure = 0;
        for (var sent = 0; sent < _waiting;)
        {
            var count = SendMany((int)_socket.DangerousGetHandle(), _queued + sent, (uint)(_waiting - sent), NoSignal);
            if (count > 0) sent += count;
            else if (Marshal.GetLastPInvokeError() is var error && error != Interrupted)
            {
                if (failure == 0) failure = error;
                sent++;
            }
        }
        _waiting = 0;
        if (failure != 0) throw Failure(failure);
    }

    private static SocketException Failure(int error) => new((int)SocketError.SocketError, Marshal.GetPInvokeErrorMessage(error));

    public void Dispose()
    {
        if (_held) _socket.DangerousRelease();
        NativeMemory.Free(_packets);
        NativeMemory.Free(_replies);
        NativeMemory.Free(_addresses);
        NativeMemory.Free(_vectors);
        NativeMemory.Free(_received);
        NativeMemory.Free(_queued);
    }

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Vector
    {
        public byte* Base;
        public nuint Length;
    }

    /// <summary>struct mmsghdr of 64-bit Linux: a msghdr of 56 bytes, and the number of bytes received.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 64)]
    private struct Message
    {
        [FieldOffset(0)] public byte* Name;
        [FieldOffset(8)] public uint NameLength;
        [FieldOffset(16)] public Vector* Vectors;
        [FieldOffset(24)] public nuint VectorCount;
        [FieldOffset(56)] public uint Length;
    }

    [LibraryImport("libc", EntryPoint = "recvmmsg", SetLastError = true)]
    private static partial int ReceiveMany(int socket, Message* messages, uint count, int flags, nint timeout);

    [LibraryImport("libc", EntryPoint = "sendmmsg", SetLastError = true)]
    private static partial int SendMany(int socket, Message* messages, uint count, int flags);
}
