using System.Buffers;
using System.Text.Json;
using Google.Protobuf;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Protocol;

/// <summary>Where the messages about the store and its types meet. A message that does not decode is a broken peer: <see cref="JsonException"/>.</summary>
public static class StoreCodec
{
    /// <summary>A whole store goes in pieces of this size, so that no message is large.</summary>
    public const int PieceBytes = 1 << 20;

    public static Wire.StoreAsk Encode(StoreRequest request, NodeId node) => new() { Request = Json(request), Node = node.Name };
    public static StoreRequest Decode(Wire.StoreAsk ask) => Value<StoreRequest>(ask.Request);

    public static Wire.StoreAnswer Encode(StoreAnswer answer) => new() { Index = answer.Index, Reply = Json(answer.Reply) };
    public static StoreAnswer Decode(Wire.StoreAnswer answer) => new(answer.Index, Value<StoreReply>(answer.Reply));

    public static Wire.StoreCursor Encode(StoreCursor cursor) => new() { Epoch = cursor.Epoch, Index = cursor.Index };
    public static StoreCursor Decode(Wire.StoreCursor cursor) => new(cursor.Epoch, cursor.Index);

    public static IEnumerable<Wire.StoreUpdate> Encode(StoreUpdate update)
    {
        switch (update)
        {
            case StoreUpdate.Since x:
                yield return new Wire.StoreUpdate { Epoch = x.Epoch, From = x.From, Last = true, Body = x.Events.IsEmpty ? ByteString.Empty : Json(x.Events) };
                break;
            case StoreUpdate.Whole x:
                var body = JsonSerializer.SerializeToUtf8Bytes(x.State, AgentCodec.Json).AsMemory();
                for (var at = 0; at < body.Length; at += PieceBytes)
                {
                    var piece = body.Slice(at, Math.Min(PieceBytes, body.Length - at));
                    yield return new Wire.StoreUpdate { Epoch = x.Epoch, Whole = true, Last = at + piece.Length == body.Length, Body = UnsafeByteOperations.UnsafeWrap(piece) };
                }
                break;
            default:
                throw new System.Diagnostics.UnreachableException($"{update}");
        }
    }

    /// <summary>Puts the pieces together; one for each stream.</summary>
    public sealed class Reader
    {
        private ArrayBufferWriter<byte> _pieces = new();

        /// <summary>Null while pieces are missing.</summary>
        public StoreUpdate? Take(Wire.StoreUpdate update)
        {
            if (!update.Whole) return new StoreUpdate.Since(update.Epoch, update.From, update.Body.IsEmpty ? default : Value<EquatableArray<StoredEvent>>(update.Body));
            _pieces.Write(update.Body.Span);
            if (!update.Last) return null;
            var state = JsonSerializer.Deserialize<StoreState>(_pieces.WrittenSpan, AgentCodec.Json);
            _pieces = new ArrayBufferWriter<byte>();
            return new StoreUpdate.Whole(update.Epoch, state ?? throw new JsonException("a store is wanted, not null"));
        }
    }

    private static ByteString Json<T>(T value) => UnsafeByteOperations.UnsafeWrap(JsonSerializer.SerializeToUtf8Bytes(value, AgentCodec.Json));
    private static T Value<T>(ByteString json) => JsonSerializer.Deserialize<T>(json.Span, AgentCodec.Json) ?? throw new JsonException($"a {typeof(T).Name} is wanted, not null");
}
