namespace Platform.Tests.Api;

/// <summary>/v2/nodes, as its clients read it.</summary>
public sealed class NodesApiTests
{
    [Fact]
    public async Task Golden_life_of_nodes()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 2);
        var notes = new Transcript(world);
        await world.CreateAsync("""{"id":"/web","cmd":"run","instances":2,"cpus":0.5,"mem":64,"constraints":[["hostname","UNIQUE"]]}""");
        await world.SettleAsync();
        var node = world.State.Nodes.Keys.First().Name;
        await notes.NoteAsync("GET", "/v2/nodes");
        await notes.NoteAsync("GET", $"/v2/nodes/{node}");
        await notes.NoteAsync("DELETE", $"/v2/nodes/{node}");
        await notes.NoteAsync("POST", $"/v2/nodes/{node}/drain?deadline=soon");
        await notes.NoteAsync("POST", $"/v2/nodes/{node}/drain?deadline=10m");
        await world.HeardAsync();
        await notes.NoteAsync("GET", $"/v2/nodes/{node}");
        await notes.NoteAsync("GET", "/v2/apps/web/explain");
        await notes.NoteAsync("POST", $"/v2/nodes/{node}/resume");
        await notes.NoteAsync("GET", $"/v2/nodes/{node}");
        foreach (var (method, path) in ((string, string)[])[("GET", ""), ("DELETE", ""), ("POST", "/drain"), ("POST", "/resume")])
            await notes.NoteAsync(method, $"/v2/nodes/nobody{path}");
        await notes.NoteAsync("POST", "/v2/nodes/tokens"); // this world's link is open to nobody
        await notes.NoteAsync("POST", "/v2/nodes/tokens?ttl=long");
        await notes.NoteAsync("GET", "/v2/nodes/tokens");
        await notes.NoteAsync("DELETE", "/v2/nodes/tokens/00000000");
        notes.Check("nodes");
    }
}
