using Platform.Model;

namespace Platform.Agent;

/// <summary>
/// The node's persistent volumes: a directory each, named by the volume's uuid, under the node's data directory. Whoever does not know the name
/// does not find it (the parent can be passed through, not listed), and in it every user may write: images run as whom they like.
/// </summary>
internal sealed class LocalVolumes(string root)
{
    private const uint Passable = 0b111_001_001;
    private const uint Open = 0b111_111_111;

    /// <summary>Takes nothing but a uuid: the name comes over the wire, and is deleted with all that is in it.</summary>
    public string PathOf(string uuid) =>
        Guid.TryParseExact(uuid, "D", out var id) ? Path.Combine(root, id.ToString("D")) : throw new InvalidDataException($"'{uuid}' names no volume");

    /// <summary>Makes what is not there; what is there keeps its data. Gives the directory.</summary>
    public string Ensure(LocalVolume volume)
    {
        var path = PathOf(volume.Uuid);
        if (Directory.Exists(path)) return path;
        Directory.CreateDirectory(root);
        Posix.ChangeMode(root, Passable);
        Directory.CreateDirectory(path);
        Posix.ChangeMode(path, Open);
        Posix.SyncDirectory(root);
        return path;
    }

    /// <summary>Deletes the data. One that is not there is success.</summary>
    public void Wipe(string uuid)
    {
        var path = PathOf(uuid);
        if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
    }
}
