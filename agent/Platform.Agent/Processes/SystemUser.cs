using System.Globalization;

namespace Platform.Agent.Processes;

/// <summary>An account of this machine, by name or number.</summary>
internal sealed record SystemUser(string Name, uint Id, uint Group, string Home)
{
    public static SystemUser? Find(string nameOrId, string passwdFile = "/etc/passwd")
    {
        foreach (var line in File.ReadLines(passwdFile))
        {
            var fields = line.Split(':');
            if (fields.Length < 6 || (fields[0] != nameOrId && fields[2] != nameOrId)) continue;
            if (uint.TryParse(fields[2], CultureInfo.InvariantCulture, out var id) && uint.TryParse(fields[3], CultureInfo.InvariantCulture, out var group))
                return new SystemUser(fields[0], id, group, fields[5]);
        }
        return null;
    }
}
