namespace Platform.Model;

/// <summary>
/// What a user said of a group itself (contract 1.5); its apps and groups are known by their ids. A group without one of these exists as long as
/// something is in it.
/// </summary>
/// <param name="Dependencies">All apps within the group wait for these.</param>
/// <param name="EnforceRole">Null where nobody has said; top-level groups only.</param>
public sealed record GroupDefinition(AppId Id, EquatableArray<AppId> Dependencies, bool? EnforceRole);

/// <summary>The body of a PUT or POST of a group: what it leaves out (null) stays as it is.</summary>
/// <param name="Apps">The group's own apps, complete: those not in it are to go.</param>
/// <param name="Pods">Pods to make or to change; those not in it are kept, as the contract has it.</param>
/// <param name="Groups">The groups directly in it, complete.</param>
/// <param name="Path">Where in the body it stands, for problems.</param>
public sealed record GroupUpdate(
    AppId Id, EquatableArray<AppDefinition>? Apps, EquatableArray<AppDefinition>? Pods,
    EquatableArray<GroupUpdate>? Groups, EquatableArray<AppId>? Dependencies, bool? EnforceRole, string Path);

/// <summary>What became of a group that somebody sent us.</summary>
public abstract record GroupReadResult
{
    private GroupReadResult() { }

    public sealed record Structure(GroupUpdate Group) : GroupReadResult;

    /// <summary><c>{"version": ts}</c>: make the group again what it was then.</summary>
    public sealed record Rollback(AppId Group, AppVersion Version) : GroupReadResult;

    /// <summary><c>{"scaleBy": factor}</c>: multiply the instances of all its apps.</summary>
    public sealed record Scaling(AppId Group, double Factor) : GroupReadResult;

    public sealed record Refused(Refusal Refusal) : GroupReadResult;
}
