namespace Platform.Discovery.Catalog;

/// <summary>The selectors of each kind of list, as Consul's documentation names them.</summary>
internal static class CatalogFilters
{
    public static readonly FilterSchema<CatalogNode> Nodes = new FilterSchema<CatalogNode>()
        .Text("ID", x => x.Id).Text("Node", x => x.Name).Text("Address", x => x.Address).Text("Datacenter", _ => CatalogJson.Datacenter)
        .Map("TaggedAddresses", x => x.TaggedAddresses).Map("Meta", x => x.Meta);

    private static readonly FilterSchema<CatalogInstance> Weights = new FilterSchema<CatalogInstance>()
        .Number("Passing", x => x.WeightPassing).Number("Warning", x => x.WeightWarning);

    private static readonly FilterSchema<CatalogInstance> Connect = new FilterSchema<CatalogInstance>().Flag("Native", _ => false);

    public static readonly FilterSchema<CatalogInstance> Services = new FilterSchema<CatalogInstance>()
        .Text("ID", x => x.Id).Text("Service", x => x.Name).Text("Kind", _ => "").Text("Address", x => x.Address).Number("Port", x => x.Port)
        .List("Tags", x => x.Tags).Map("Meta", x => x.Meta).Flag("EnableTagOverride", x => x.EnableTagOverride)
        .Inner("Weights", Weights, x => x).Inner("Connect", Connect, x => x);

    public static readonly FilterSchema<HealthEntry> OfService = new FilterSchema<HealthEntry>()
        .Text("ID", x => x.Node.Id).Text("Node", x => x.Node.Name).Text("Address", x => x.Node.Address).Text("Datacenter", _ => CatalogJson.Datacenter)
        .Map("TaggedAddresses", x => x.Node.TaggedAddresses).Map("NodeMeta", x => x.Node.Meta)
        .Text("ServiceID", x => x.Service.Id).Text("ServiceName", x => x.Service.Name).Text("ServiceKind", _ => "").Text("ServiceAddress", x => x.Service.Address)
        .Number("ServicePort", x => x.Service.Port).List("ServiceTags", x => x.Service.Tags).Map("ServiceMeta", x => x.Service.Meta)
        .Flag("ServiceEnableTagOverride", x => x.Service.EnableTagOverride)
        .Inner("ServiceWeights", Weights, x => x.Service).Inner("ServiceConnect", Connect, x => x.Service);

    public static readonly FilterSchema<CatalogCheck> Checks = new FilterSchema<CatalogCheck>()
        .Text("Node", x => x.Node).Text("CheckID", x => x.CheckId).Text("Name", x => x.Name).Text("Status", x => CatalogCheck.Text(x.Status))
        .Text("Notes", x => x.Notes).Text("Output", x => x.Output).Text("Type", x => x.Type)
        .Text("ServiceID", x => x.Service?.Id ?? "").Text("ServiceName", x => x.Service?.Name ?? "").List("ServiceTags", x => x.Service?.Tags ?? default);

    public static readonly FilterSchema<HealthEntry> Health = new FilterSchema<HealthEntry>()
        .Inner("Node", Nodes, x => x.Node).Inner("Service", Services, x => x.Service).Many("Checks", Checks, x => x.Checks);
}
