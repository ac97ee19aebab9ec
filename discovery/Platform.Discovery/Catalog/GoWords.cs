namespace Platform.Discovery.Catalog;

/// <summary>How Consul's clients, and Go, spell values.</summary>
public static class GoWords
{
    public static bool? BoolOf(string text) => text switch
    {
        "1" or "t" or "T" or "TRUE" or "true" or "True" => true,
        "0" or "f" or "F" or "FALSE" or "false" or "False" => false,
        _ => null,
    };
}
