using System.Diagnostics;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>What is known of a check that a session wants to be bound to.</summary>
public enum CheckVerdict { Well, Critical, Missing, NoSuchNode }

/// <summary>How a check of a node stands; <see cref="KvSession.NodeAlive"/> is one that every node has.</summary>
public delegate CheckVerdict CheckOf(string node, string check);

/// <summary>Nothing has happened where there is no event.</summary>
public sealed record StoreDecision(StoreEvent? Event, StoreReply Reply);

/// <summary>Requests of clients become events or refusals.</summary>
public static class StoreDecide
{
    /// <param name="index">The revision an event of this decision would have.</param>
    public static StoreDecision Decide(StoreState state, StoreRequest request, CheckOf checks, long index, DateTimeOffset now, StoreLimits? limits = null) => request switch
    {
        StoreRequest.Apply x => Apply(new KvWork(state, null, index, now, limits ?? StoreLimits.Default), x.Operation),
        StoreRequest.Transact x => Transact(new KvWork(state, null, index, now, limits ?? StoreLimits.Default), x.Operations),
        StoreRequest.CreateSession x => Create(state, x.Session, checks, limits ?? StoreLimits.Default),
        StoreRequest.DestroySession x => Destroy(state, x.Id),
        StoreRequest.RenewSession x => SessionIds.Wrong(x.Id) is { } wrong ? Failed(500, wrong) : new StoreDecision(null, new StoreReply.SessionIs(state.Sessions.GetValueOrDefault(x.Id))),
        StoreRequest.Register x => RegistryDecisions.Decide(state, x.Changes, node => checks(node, KvSession.NodeAlive) != CheckVerdict.NoSuchNode, index),
        StoreRequest.Bootstrap or StoreRequest.SetPolicy or StoreRequest.RemovePolicy or StoreRequest.SetToken or StoreRequest.RemoveToken => AclDecide.Decide(state.Acl, request, index),
        StoreRequest.Barrier => new StoreDecision(null, new StoreReply.Done(true)),
        _ => throw new UnreachableException($"{request}"),
    };

    /// <summary>A transaction that only reads, answered from what a node has.</summary>
    public static StoreReply Read(StoreState state, KvTree published, EquatableArray<KvOperation> operations) =>
        Transact(new KvWork(state, published, 0, default, StoreLimits.Default), operations).Reply;

    private static StoreDecision Apply(KvWork work, KvOperation operation)
    {
        var outcome = work.Do(operation);
        if (outcome.Status != 200) return Failed(outcome.Status, outcome.Why!);
        return new StoreDecision(EventOf(work), new StoreReply.Done(outcome.Yes));
    }

    private static StoreDecision Transact(KvWork work, EquatableArray<KvOperation> operations)
    {
        if (operations.Count > StoreLimits.OperationsMax)
            return Failed(413, $"Transaction contains too many operations ({operations.Count} > {StoreLimits.OperationsMax})");
        var failures = new List<KvFailure>();
        foreach (var (operation, i) in operations.Items.Select((o, i) => (o, i)))
            if (work.Do(operation) is { Why: { } why }) failures.Add(new KvFailure(i, why));
        return failures.Count > 0
            ? new StoreDecision(null, new StoreReply.Transacted(default, failures.ToEquatableArray()))
            : new StoreDecision(EventOf(work), new StoreReply.Transacted(work.Results.ToEquatableArray(), default));
    }

    private static StoreEvent? EventOf(KvWork work) => work.Changes is { IsEmpty: false } changes ? new StoreEvent.KeysChanged(changes) : null;

    private static StoreDecision Create(StoreState state, KvSession session, CheckOf checks, StoreLimits limits)
    {
        if (session.Ttl is { } ttl && (ttl < KvSession.TtlMin || ttl > KvSession.TtlMax))
            return Failed(500, $"Invalid Session TTL '{ttl.Ticks * 100}', must be between [10s=24h0m0s]");
        if (state.Sessions.Count >= limits.SessionsMax) return Failed(507, $"There are {limits.SessionsMax} sessions, which is the most");
        if (state.Sessions.ContainsKey(session.Id)) return Failed(500, $"Session '{session.Id}' exists already");
        if (checks(session.Node, KvSession.NodeAlive) == CheckVerdict.NoSuchNode) return Failed(500, "Missing node registration");
        foreach (var check in session.NodeChecks.Concat(session.ServiceChecks))
            switch (checks(session.Node, check))
            {
                case CheckVerdict.Missing:
                    return Failed(500, $"Missing check '{check}' registration");
                case CheckVerdict.Critical:
                    return Failed(500, $"Check '{check}' is in critical state");
            }
        return new StoreDecision(new StoreEvent.SessionCreated(session), new StoreReply.SessionIs(session));
    }

    private static StoreDecision Destroy(StoreState state, string id)
    {
        if (SessionIds.Wrong(id) is { } wrong) return Failed(500, wrong);
        return new StoreDecision(state.Sessions.ContainsKey(id) ? new StoreEvent.SessionEnded(id, SessionEnd.Destroyed) : null, new StoreReply.Done(true));
    }

    private static StoreDecision Failed(int status, string text) => new(null, new StoreReply.Failed(status, text));
}
