using System.Text;
using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

public class ProjectionTests
{
    /// <summary>A proxy that listened on the task's own host port would keep the task from starting.</summary>
    [Theory]
    [InlineData(true, 0)]
    [InlineData(false, 8080)]
    public void Under_require_ports_the_service_has_no_port_for_proxies_to_open(bool requirePorts, int expected)
    {
        var body = JsonDocument.Parse(Encoding.UTF8.GetBytes($$"""{"id":"/own","cmd":"serve","ports":[8080],"requirePorts":{{(requirePorts ? "true" : "false")}}}""")).RootElement;
        var app = Assert.IsType<ReadResult.App>(AppReader.Create(body)).Definition;
        Assert.Equal(expected, Assert.Single(Projections.ServiceOf(app).Ports).Port);
    }
}
