using System.Net;
using System.Runtime.InteropServices;

namespace Platform.Proxy.Relay;

/// <summary>The kernel's socket calls as the relay needs them: none of them waits. A result below 0 is a negated error number.</summary>
internal static unsafe partial class Posix
{
    public const int WouldBlock = -11;
    public const int InProgress = -115;
    public const int ConnectionRefused = -111;

    private const int Interrupted = 4;
    private const int DontWait = 0x40;
    private const int NoSignal = 0x4000;
    private const int PeekOnly = 0x2;
    private const int StreamNonBlockingCloseOnExec = 1 | 0x800 | 0x80000;
    private const int SendDirection = 1;

    public static int Receive(int descriptor, Span<byte> into) => Receive(descriptor, into, DontWait);

    /// <summary>What is there stays there.</summary>
    public static int Peek(int descriptor)
    {
        Span<byte> one = stackalloc byte[1];
        return Receive(descriptor, one, DontWait | PeekOnly);
    }

    public static int Send(int descriptor, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
            while (true)
            {
                var sent = send(descriptor, start, (nuint)bytes.Length, DontWait | NoSignal);
                if (sent >= 0) return (int)sent;
                var error = Marshal.GetLastPInvokeError();
                if (error != Interrupted) return -error;
            }
    }

    /// <summary>A new socket that is connecting; its descriptor, or the error.</summary>
    public static int Connect(SocketAddress address)
    {
        var family = (int)address.Family == (int)System.Net.Sockets.AddressFamily.InterNetworkV6 ? 10 : 2;
        var descriptor = socket(family, StreamNonBlockingCloseOnExec, 0);
        if (descriptor < 0) return -Marshal.GetLastPInvokeError();
        var on = 1;
        setsockopt(descriptor, 6, 1, &on, sizeof(int)); // TCP_NODELAY
        int result;
        fixed (byte* start = address.Buffer.Span) result = connect(descriptor, start, address.Size);
        if (result == 0) return descriptor;
        var error = -Marshal.GetLastPInvokeError();
        if (error == InProgress) return descriptor;
        Close(descriptor);
        return error;
    }

    /// <summary>How connecting has ended: 0 when it worked.</summary>
    public static int ConnectResult(int descriptor)
    {
        int error;
        var size = sizeof(int);
        return getsockopt(descriptor, 1, 4, &error, &size) == 0 ? -error : -Marshal.GetLastPInvokeError();
    }

    /// <summary>Finds out within minutes that a silent peer is gone.</summary>
    public static void KeepAlive(int descriptor)
    {
        var (on, seconds) = (1, 60);
        setsockopt(descriptor, 1, 9, &on, sizeof(int)); // SO_KEEPALIVE
        setsockopt(descriptor, 6, 4, &seconds, sizeof(int)); // TCP_KEEPIDLE
    }

    public static void CloseWithReset(int descriptor)
    {
        var linger = stackalloc int[2] { 1, 0 };
        setsockopt(descriptor, 1, 13, linger, 2 * sizeof(int)); // SO_LINGER
        Close(descriptor);
    }

    /// <summary>Tells the peer that no more will come; it may still send.</summary>
    public static void EndSending(int descriptor) => _ = shutdown(descriptor, SendDirection);

    public static void Close(int descriptor) => _ = close(descriptor);

    private static int Receive(int descriptor, Span<byte> into, int flags)
    {
        fixed (byte* start = into)
            while (true)
            {
                var received = recv(descriptor, start, (nuint)into.Length, flags);
                if (received >= 0) return (int)received;
                var error = Marshal.GetLastPInvokeError();
                if (error != Interrupted) return -error;
            }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recv(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint send(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socket(int family, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int connect(int descriptor, byte* address, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getsockopt(int descriptor, int level, int name, int* value, int* length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setsockopt(int descriptor, int level, int name, int* value, int length);

    [LibraryImport("libc")]
    private static partial int shutdown(int descriptor, int how);

    [LibraryImport("libc")]
    private static partial int close(int descriptor);
}

/// <summary>
/// An epoll instance. Every socket is registered once, for everything and edge-triggered: an event says that something has changed, and the
/// socket's owner remembers what it may do until the kernel says that it would block.
/// </summary>
internal sealed unsafe partial class EventQueue : IDisposable
{
    public const uint In = 0x1;
    public const uint Out = 0x4;
    public const uint Error = 0x8;
    public const uint HangUp = 0x10;
    public const uint PeerClosed = 0x2000;
    private const uint EdgeTriggered = 1u << 31;

    private const int Capacity = 256;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;

    // struct epoll_event is packed on x86-64 and nowhere else
    private static readonly int Stride = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int TagOffset = Stride - 8;

    private readonly int _epoll;
    private readonly int _waker;
    private readonly byte* _events;

    public EventQueue()
    {
        _epoll = epoll_create1(CloseOnExec);
        _waker = eventfd(0, CloseOnExec | NonBlocking);
        if (_epoll < 0 || _waker < 0) throw new InvalidOperationException($"no event queue: error {Marshal.GetLastPInvokeError()}");
        _events = (byte*)NativeMemory.AllocZeroed((nuint)(Capacity * Stride));
        if (!Add(_waker, WakeTag, In | EdgeTriggered)) throw new InvalidOperationException($"no waker: error {Marshal.GetLastPInvokeError()}");
    }

    /// <summary>The tag of the event that <see cref="Wake"/> causes.</summary>
    public const ulong WakeTag = ulong.MaxValue;

    public bool Add(int descriptor, ulong tag) => Add(descriptor, tag, In | Out | PeerClosed | EdgeTriggered);

    public void Remove(int descriptor)
    {
        var ignored = stackalloc byte[16]; // old kernels want one
        _ = epoll_ctl(_epoll, 2, descriptor, ignored);
    }

    /// <summary>How many events there are now; the call waits for the first one as long as it is told, -1 for ever.</summary>
    public int Wait(int timeoutMs)
    {
        var count = epoll_wait(_epoll, _events, Capacity, timeoutMs);
        return count < 0 ? 0 : count; // interrupted
    }

    public uint Flags(int index) => *(uint*)(_events + index * Stride);
    public ulong Tag(int index) => *(ulong*)(_events + index * Stride + TagOffset);

    /// <summary>From any thread.</summary>
    public void Wake()
    {
        ulong one = 1;
        _ = write(_waker, &one, sizeof(ulong)); // fails only when it would overflow: then it is awake
    }

    /// <summary>Not to be called while another thread may still call <see cref="Wake"/>.</summary>
    public void Dispose()
    {
        Posix.Close(_waker);
        Posix.Close(_epoll);
        NativeMemory.Free(_events);
    }

    private bool Add(int descriptor, ulong tag, uint flags)
    {
        var entry = stackalloc byte[16];
        *(uint*)entry = flags;
        *(ulong*)(entry + TagOffset) = tag;
        return epoll_ctl(_epoll, 1, descriptor, entry) == 0;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_ctl(int epoll, int operation, int descriptor, byte* entry);

    [LibraryImport("libc")]
    private static partial int epoll_wait(int epoll, byte* events, int capacity, int timeoutMs);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc")]
    private static partial nint write(int descriptor, ulong* value, nuint length);
}
