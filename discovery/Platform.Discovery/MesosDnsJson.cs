using System.Globalization;
using System.Net;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// The answers of Mesos-DNS's HTTP API (reference/discovery.md 1.10), quirks included: names end with a dot, a port is text, and a name that is
/// not there is one object of empty texts. What may be large is written step by step: whoever enumerates sends off what has gathered.
/// </summary>
public static class MesosDnsJson
{
    public static void Hosts(Utf8JsonWriter json, DnsZone? zone, string host)
    {
        var name = Canonical(host);
        json.WriteStartArray();
        var found = 0;
        foreach (var record in Addresses(zone, name))
        {
            WriteObject(json, ("host", name + "."), ("ip", AddressText(record)));
            found++;
        }
        if (found == 0) WriteObject(json, ("host", ""), ("ip", ""));
        json.WriteEndArray();
    }

    public static void Services(Utf8JsonWriter json, DnsZone? zone, string service)
    {
        json.WriteStartArray();
        var found = 0;
        foreach (var record in zone?.Find(Canonical(service))?.Of(DnsType.SRV) ?? [])
        {
            var addresses = Addresses(zone, record.Target!).DistinctBy(x => x.Type).Select(AddressText).DefaultIfEmpty("");
            foreach (var address in addresses)
                WriteObject(json, ("service", service), ("host", record.Target + "."), ("ip", address), ("port", record.Port.ToString(CultureInfo.InvariantCulture)));
            found++;
        }
        if (found == 0) WriteObject(json, ("service", ""), ("host", ""), ("ip", ""), ("port", ""));
        json.WriteEndArray();
    }

    /// <summary>Every ready task with its records. Each step is one task.</summary>
    public static IEnumerable<string> Enumerate(Utf8JsonWriter json, DnsZone? zone)
    {
        json.WriteStartObject();
        json.WriteStartArray("frameworks");
        if (zone is not null)
        {
            json.WriteStartObject();
            json.WriteStartArray("tasks");
            foreach (var (task, app, records) in zone.Tasks)
            {
                json.WriteStartObject();
                json.WriteString("name", app.ReverseDotted);
                json.WriteString("id", task.TaskId);
                json.WriteStartArray("records");
                foreach (var (name, record) in records) WriteObject(json, ("name", name + "."), ("host", Value(record)), ("rtype", record.Type.ToString()));
                json.WriteEndArray();
                json.WriteEndObject();
                yield return task.TaskId;
            }
            json.WriteEndArray();
            json.WriteString("name", zone.Domains.Framework);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Every address and service of the zone. Each step is one name.</summary>
    public static IEnumerable<string> Axfr(Utf8JsonWriter json, DnsZone zone)
    {
        json.WriteStartObject();
        json.WriteNumber("TTL", DnsZone.InstanceTtlSeconds);
        json.WriteNumber("Serial", zone.Serial);
        json.WriteNumber("RefreshSeconds", 0); // changes are pushed
        json.WriteString("Mname", $"ns1.{zone.Apex}.");
        json.WriteString("Rname", $"root.ns1.{zone.Apex}.");
        json.WriteString("Domain", zone.Apex);
        json.WriteStartObject("Records");
        foreach (var (section, type) in new[] { ("As", DnsType.A), ("AAAAs", DnsType.AAAA), ("SRVs", DnsType.SRV) })
        {
            json.WriteStartObject(section);
            foreach (var (name, node) in zone.Names)
            {
                var set = node.Of(type);
                if (set.IsEmpty || !DnsNames.IsWithin(name, zone.Apex)) continue;
                json.WriteStartArray(name + ".");
                foreach (var record in set) json.WriteStringValue(Value(record));
                json.WriteEndArray();
                yield return name;
            }
            json.WriteEndObject();
        }
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>What Mesos-DNS takes: any case, with or without the final dot, and its wildcards, which it ignores.</summary>
    private static string Canonical(string name) => name.Replace(".*", "", StringComparison.Ordinal).ToLowerInvariant().TrimEnd('.');

    private static IEnumerable<DnsRecord> Addresses(DnsZone? zone, string name) =>
        zone?.Find(name) is { } node ? node.Of(DnsType.A).Concat(node.Of(DnsType.AAAA)) : [];

    private static string AddressText(DnsRecord record) => new IPAddress(record.Data.AsSpan()).ToString();

    private static string Value(DnsRecord record) => record.Type == DnsType.SRV
        ? string.Create(CultureInfo.InvariantCulture, $"{record.Target}.:{record.Port}")
        : AddressText(record);

    private static void WriteObject(Utf8JsonWriter json, params ReadOnlySpan<(string Key, string Value)> members)
    {
        json.WriteStartObject();
        foreach (var (key, value) in members) json.WriteString(key, value);
        json.WriteEndObject();
    }
}
