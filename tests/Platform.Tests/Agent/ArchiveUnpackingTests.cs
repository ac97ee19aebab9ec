using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using CsCheck;
using Platform.Agent.Fetching;

namespace Platform.Tests.Agent;

/// <summary>Archives made to get out of their directory, or to fill the disk: each is refused as a whole.</summary>
public sealed class ArchiveUnpackingTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("platform-unpack-").FullName;

    public void Dispose() => Directory.Delete(_home, recursive: true);

    private string Root => Path.Combine(_home, "root");

    private static TarEntry File(string name, string content = "x") => new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(Encoding.UTF8.GetBytes(content)) };
    private static TarEntry Folder(string name) => new PaxTarEntry(TarEntryType.Directory, name);
    private static TarEntry Link(string name, string target) => new PaxTarEntry(TarEntryType.SymbolicLink, name) { LinkName = target };
    private static TarEntry Hard(string name, string target) => new PaxTarEntry(TarEntryType.HardLink, name) { LinkName = target };

    private void Unpack(string path, string ending, long bytesMax = 1 << 20, int entriesMax = 100)
    {
        Directory.CreateDirectory(Root);
        new ArchiveUnpacking(Root, bytesMax, entriesMax, default).Unpack(path, ending, Path.GetFileName(path));
    }

    private string Tar(params TarEntry[] entries)
    {
        var path = Path.Combine(_home, "a.tar");
        using var writer = new TarWriter(System.IO.File.Create(path));
        foreach (var entry in entries) writer.WriteEntry(entry);
        return path;
    }

    private string Zip(params (string Name, string Content, int Mode)[] entries)
    {
        var path = Path.Combine(_home, "a.zip");
        using var zip = ZipFile.Open(path, ZipArchiveMode.Create);
        foreach (var (name, content, mode) in entries)
        {
            var entry = zip.CreateEntry(name);
            entry.ExternalAttributes = mode << 16;
            using var stream = entry.Open();
            stream.Write(Encoding.UTF8.GetBytes(content));
        }
        return path;
    }

    public static TheoryData<string> Attacks => [.. TarAttacks.Keys];

    private static readonly Dictionary<string, TarEntry[]> TarAttacks = new()
    {
        ["a name that climbs"] = [File("../out")],
        ["a name that goes down and up"] = [File("a/../../out")],
        ["an absolute name"] = [File("/tmp/platform-out")],
        ["a link out"] = [Link("l", "../out")],
        ["an absolute link"] = [Link("l", "/etc/passwd")],
        ["a link that goes down and up"] = [Folder("a"), Link("l", "a/../../out")],
        ["a link through a link"] = [Folder("a"), Link("a/up", ".."), Link("l", "a/up/../out")],
        ["a file behind a link"] = [Folder("d"), Link("l", "d"), File("l/out")],
        ["a file instead of a link"] = [Link("l", "d"), File("l")],
        ["a directory instead of a link"] = [Link("l", "d"), Folder("l"), File("l/out")],
        ["a link instead of a directory"] = [File("d/x"), Link("d", "..")],
        ["a hard link out"] = [Hard("h", "../../etc/passwd")],
        ["an absolute hard link"] = [Hard("h", "/etc/passwd")],
        ["a hard link to a link"] = [Link("l", "x"), Hard("h", "l")],
        ["a hard link to what is not there"] = [Hard("h", "later"), File("later")],
        ["a device"] = [new PaxTarEntry(TarEntryType.CharacterDevice, "zero") { DeviceMajor = 1, DeviceMinor = 5 }],
        ["a block device"] = [new PaxTarEntry(TarEntryType.BlockDevice, "sda") { DeviceMajor = 8 }],
        ["a pipe"] = [new PaxTarEntry(TarEntryType.Fifo, "pipe")],
        ["the agent's own notes"] = [File(".platform/task.json")],
        ["a file as a parent"] = [File("f"), File("f/x")],
    };

    [Theory]
    [MemberData(nameof(Attacks))]
    public void An_attack_is_refused_and_nothing_gets_out(string name)
    {
        var path = Tar([File("harmless"), .. TarAttacks[name]]);
        Assert.Throws<ArchiveRefusedException>(() => Unpack(path, ".tar"));
        Assert.Equal(["a.tar", "root"], Directory.GetFileSystemEntries(_home).Select(x => Path.GetFileName(x)!).Order(StringComparer.Ordinal));
        Assert.False(System.IO.File.Exists("/tmp/platform-out"));
    }

    private static readonly Gen<string> AnyPath =
        Gen.Frequency((6, Gen.Const("a")), (6, Gen.Const("b")), (3, Gen.Const("c")), (3, Gen.Const("..")), (1, Gen.Const(".")), (1, Gen.Const(""))).Array[1, 4].Select(x => string.Join('/', x));

    private static readonly Gen<TarEntry> AnyEntry = Gen.Select(Gen.Int[0, 5], AnyPath, AnyPath).Where(x => x.Item2.Length > 0 && x.Item3.Length > 0)
        .Select(x => x.Item1 switch { 0 => File(x.Item2), 1 => Folder(x.Item2), 2 => Hard(x.Item2, x.Item3), _ => Link(x.Item2, x.Item3) });

    /// <summary>Whatever an archive holds: of what is accepted every link, followed to its end, stays inside; and nothing is made outside.</summary>
    [Fact]
    public void No_archive_gets_out()
    {
        var accepted = 0;
        AnyEntry.Array[1, 6].Sample(entries =>
        {
            if (Directory.Exists(Root)) Directory.Delete(Root, recursive: true);
            var path = Tar(entries);
            try
            {
                Unpack(path, ".tar");
                accepted++;
            }
            catch (ArchiveRefusedException)
            {
                // what was unpacked so far is thrown away; it is no way out either
            }
            foreach (var made in Tree(Root))
            {
                var hops = 40;
                if (Resolved(made, ref hops) is { } end) Assert.StartsWith(Root, end, StringComparison.Ordinal);
            }
            Assert.Equal(["a.tar", "root"], Directory.GetFileSystemEntries(_home).Select(x => Path.GetFileName(x)!).Order(StringComparer.Ordinal));
        }, iter: 1000, threads: 1);
        Assert.True(accepted > 20, $"only {accepted} were accepted: the property says little");
    }

    private static IEnumerable<string> Tree(string path) =>
        new FileInfo(path).LinkTarget is null && Directory.Exists(path) ? Directory.EnumerateFileSystemEntries(path).SelectMany(Tree).Prepend(path) : [path];

    /// <summary>As the kernel does it: each step through whatever is there. Null after too many links, as there.</summary>
    private static string? Resolved(string path, ref int hops)
    {
        var at = "/";
        foreach (var step in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            at = step == ".." ? Path.GetDirectoryName(at) ?? "/" : step == "." ? at : Path.Combine(at, step);
            if (new FileInfo(at).LinkTarget is not { } target) continue;
            if (--hops < 0 || Resolved(Path.Combine(Path.GetDirectoryName(at)!, target), ref hops) is not { } end) return null;
            at = end;
        }
        return at;
    }

    [Fact]
    public void Zips_are_judged_alike()
    {
        Assert.Throws<ArchiveRefusedException>(() => Unpack(Zip(("../out", "x", 0)), ".zip"));
        System.IO.File.Delete(Path.Combine(_home, "a.zip"));
        Assert.Throws<ArchiveRefusedException>(() => Unpack(Zip(("l", "../out", 0xA1FF)), ".zip"));
        System.IO.File.Delete(Path.Combine(_home, "a.zip"));
        Assert.Throws<ArchiveRefusedException>(() => Unpack(Zip(("/abs", "x", 0x81A4)), ".zip"));
        System.IO.File.Delete(Path.Combine(_home, "a.zip"));
        Assert.Throws<ArchiveRefusedException>(() => Unpack(Zip(("dev", "x", 0x21A4)), ".zip"));
        Assert.False(Path.Exists(Path.Combine(_home, "out")));
    }

    [Fact]
    public void What_stays_inside_is_unpacked_with_its_modes_and_links()
    {
        var tool = (PaxTarEntry)File("./bin/tool", "#!/bin/sh\n");
        tool.Mode = UnixFileMode.UserRead | UnixFileMode.UserExecute | UnixFileMode.SetUser;
        Unpack(Tar(Folder("bin/"), tool, Link("bin/up", "../readme"), Link("run", "bin/tool"), Hard("again", "bin/tool"), File("readme", "old"), File("readme", "new")), ".tar");
        Assert.Equal("#!/bin/sh\n", System.IO.File.ReadAllText(Path.Combine(Root, "run")));
        Assert.Equal("new", System.IO.File.ReadAllText(Path.Combine(Root, "bin", "up")));
        var mode = System.IO.File.GetUnixFileMode(Path.Combine(Root, "bin/tool"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, mode); // no set-user-id
        System.IO.File.WriteAllText(Path.Combine(Root, "again"), "other");
        Assert.Equal("#!/bin/sh\n", System.IO.File.ReadAllText(Path.Combine(Root, "run")));
    }

    [Fact]
    public void Bombs_are_bounded()
    {
        var path = Path.Combine(_home, "b.gz");
        using (var gzip = new GZipStream(System.IO.File.Create(path), CompressionLevel.SmallestSize)) gzip.Write(new byte[8 << 20]);
        Assert.Contains("more than 1048576 bytes", Assert.Throws<ArchiveRefusedException>(() => Unpack(path, ".gz")).Message, StringComparison.Ordinal);
        Directory.Delete(Root, recursive: true);
        var many = Tar([.. Enumerable.Range(0, 101).Select(x => Folder($"d{x}"))]);
        Assert.Contains("more than 100 entries", Assert.Throws<ArchiveRefusedException>(() => Unpack(many, ".tar")).Message, StringComparison.Ordinal);
        Directory.Delete(Root, recursive: true);
        // A header that claims attributes of a gigabyte: refused before anybody makes room for them.
        var header = new byte[512];
        Encoding.ASCII.GetBytes("x").CopyTo(header, 0);
        Encoding.ASCII.GetBytes("07777777777\0").CopyTo(header, 124);
        header[156] = (byte)'x';
        Encoding.ASCII.GetBytes("ustar\000").CopyTo(header, 257);
        "        "u8.CopyTo(header.AsSpan(148));
        Encoding.ASCII.GetBytes(Convert.ToString(header.Sum(x => x), 8).PadLeft(6, '0') + "\0 ").CopyTo(header, 148);
        System.IO.File.WriteAllBytes(Path.Combine(_home, "g.tar"), [.. header, .. new byte[4096]]);
        Assert.Contains("attributes", Assert.Throws<ArchiveRefusedException>(() => Unpack(Path.Combine(_home, "g.tar"), ".tar")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(".tgz")]
    [InlineData(".tar.bz2")]
    [InlineData(".tar.xz")]
    [InlineData(".zip")]
    [InlineData(".tar")]
    public void What_is_no_archive_is_refused(string ending)
    {
        var path = Path.Combine(_home, "x" + ending);
        System.IO.File.WriteAllBytes(path, [.. Enumerable.Range(0, 5000).Select(x => (byte)(x * 7 + 1))]);
        Assert.Throws<ArchiveRefusedException>(() => Unpack(path, ending));
    }

    [Theory]
    [InlineData(".tar.gz", "z")]
    [InlineData(".tar.bz2", "j")]
    [InlineData(".txz", "J")]
    [InlineData(".tar", "")]
    public void What_other_programs_packed_is_unpacked(string ending, string flag)
    {
        Directory.CreateDirectory(Path.Combine(_home, "in", "deep"));
        System.IO.File.WriteAllText(Path.Combine(_home, "in", "deep", "file"), string.Concat(Enumerable.Repeat("content ", 10_000)));
        var start = new System.Diagnostics.ProcessStartInfo("tar", [$"-c{flag}f", Path.Combine(_home, "p" + ending), "-C", Path.Combine(_home, "in"), "."]);
        using var tar = System.Diagnostics.Process.Start(start)!;
        tar.WaitForExit();
        Assert.Equal(0, tar.ExitCode);
        Unpack(Path.Combine(_home, "p" + ending), ending);
        Assert.Equal(80_000, new FileInfo(Path.Combine(Root, "deep", "file")).Length);
    }
}
