using CsCheck;
using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Tests.Agent;

/// <summary>A hostile link, engine and operator: messages come twice, late or never, calls fail after they worked, the agent dies at any moment.</summary>
public sealed class AgentCorePropertyTests
{
    private enum Event { Desired, Replay, List, StaleList, Obey, ObeyLate, Fail, FailAfterEffect, Crash, Exit, Vanish, Time }

    private static readonly Gen<(Event Kind, int Pick)> GenEvent = Gen.Select(Gen.Enum<Event>(), Gen.Int[0, 999]);

    [Fact]
    public void AnInstanceIsCreatedAtMostOnce_AndAStopEndsInAnEnd() =>
        GenEvent.Array[0, 120].Sample(events =>
        {
            var run = new HostileRun();
            foreach (var (kind, pick) in events) run.Play(kind, pick);
            Assert.All(run.World.Creates, x => Assert.True(x.Value <= 1, $"{x.Key} was created {x.Value} times"));
            run.StopAll();
            Assert.All(run.World.Core.Reports(), x => Assert.NotNull(x.End));
            Assert.DoesNotContain(run.World.Containers.Values, x => x.State == ContainerState.Running);
            run.LetGoOfAll();
            Assert.Empty(run.World.Core.Reports());
            Assert.Empty(run.World.Containers);
        }, iter: 1500, seed: "0N0XIzNsQ0O2");

    [Fact]
    public void AnEnd_NeverChanges_AndARunningTask_NeverGoesBack() =>
        GenEvent.Array[0, 120].Sample(events =>
        {
            var run = new HostileRun();
            Dictionary<InstanceId, InstanceReport> before = [];
            foreach (var (kind, pick) in events)
            {
                run.Play(kind, pick);
                if (kind == Event.Crash) before.Clear(); // unsaved news may be lost with the process
                foreach (var report in run.World.Core.Reports())
                {
                    if (before.TryGetValue(report.Id, out var old))
                    {
                        Assert.True(old.Phase != Phase.Running || report.Phase == Phase.Running, $"{old} became {report}");
                        if (old.End is not null) Assert.Equal(old.End, report.End);
                    }
                    before[report.Id] = report;
                }
            }
        }, iter: 1500, seed: "0N0XIzNsQ0O2");

    private sealed class HostileRun
    {
        private readonly List<AgentInput.Desired> _sent = [];
        private readonly List<AgentAction> _orders = [];
        private readonly List<AgentInput> _late = [];
        private AgentInput.Listed _oldList;
        private Dictionary<long, Assignment> _wanted = [];
        private long _serial;

        public AgentWorld World { get; } = new();

        public HostileRun() => _oldList = World.List();

        public void Play(Event kind, int pick)
        {
            switch (kind)
            {
                case Event.Desired: Take(Next(pick)); break;
                case Event.Replay: if (_sent.Count > 0) Take(_sent[pick % _sent.Count]); break;
                case Event.List: Take(_oldList = World.List()); break;
                case Event.StaleList: Take(_oldList); break;
                case Event.Obey: Answer(pick, World.Obey); break;
                case Event.ObeyLate: Answer(pick, x => { _late.AddRange(World.Obey(x)); return []; }); FlushLate(pick); break;
                case Event.Fail: Answer(pick, x => x is AgentAction.Probe or AgentAction.CancelStart ? World.Obey(x) : [new AgentInput.Failed(x.Id, "no answer")]); break;
                case Event.FailAfterEffect: Answer(pick, x => { var done = World.Obey(x).ToArray(); return x is AgentAction.Probe or AgentAction.CancelStart ? done : [new AgentInput.Failed(x.Id, "no answer")]; }); break;
                case Event.Crash: Crash(); break;
                case Event.Exit: ExitOne(pick); break;
                case Event.Vanish: VanishOne(pick); break;
                case Event.Time: Advance(pick / 100.0); break;
                default: throw new System.Diagnostics.UnreachableException($"{kind}");
            }
        }

        public void StopAll()
        {
            _wanted = _wanted.ToDictionary(x => x.Key, x => x.Value with { Goal = Goal.Stop });
            Take(Send());
            Quiesce();
        }

        public void LetGoOfAll()
        {
            _wanted = [];
            Take(Send());
            Quiesce();
        }

        /// <summary>The faults end: everything is answered, listed and given time.</summary>
        private void Quiesce()
        {
            for (var i = 0; i < 60; i++)
            {
                FlushLate(0);
                while (_orders.Count > 0) Answer(0, World.Obey);
                Advance(1);
                Take(World.List());
            }
        }

        private AgentInput.Desired Next(int pick)
        {
            if (pick % 3 == 0 || _wanted.Count == 0)
            {
                var added = AgentWorld.Assign(++_serial);
                _wanted[added.Serial] = added;
            }
            else
            {
                var serial = _wanted.Keys.Order().ElementAt(pick % _wanted.Count);
                if (pick % 3 == 1) _wanted[serial] = _wanted[serial] with { Goal = Goal.Stop };
                else if (World.Report(_wanted[serial])?.End is not null) _wanted.Remove(serial); // a scheduler lets go of what it saw end
            }
            return Send();
        }

        private AgentInput.Desired Send()
        {
            var next = World.Desired([.. _wanted.Values]) with { NextSerial = _serial + 1 };
            _sent.Add(next);
            return next;
        }

        private void Take(params AgentInput[] inputs)
        {
            foreach (var action in World.Step(inputs)) _orders.Add(action);
            World.Forget();
        }

        private void Answer(int pick, Func<AgentAction, IEnumerable<AgentInput>> how)
        {
            if (_orders.Count == 0) return;
            var order = _orders[pick % _orders.Count];
            _orders.Remove(order);
            Take([.. how(order)]);
        }

        private void FlushLate(int pick)
        {
            if (pick % 2 == 1) return;
            var late = _late.ToArray();
            _late.Clear();
            Take(late);
        }

        private void Crash()
        {
            _orders.Clear();
            _late.Clear();
            _oldList = World.List(); // lists die with the process that made them
            foreach (var action in World.Reborn()) _orders.Add(action);
            World.Forget();
        }

        private void ExitOne(int pick)
        {
            var running = World.Containers.Values.Where(x => x.State == ContainerState.Running).OrderBy(x => x.Id).ToList();
            if (running.Count == 0) return;
            var one = running[pick % running.Count];
            World.Containers[one.Id] = one with { State = ContainerState.Exited, Exit = new ContainerExit(pick % 2, false, "", World.Now) };
            if (pick % 4 != 0) Take(new AgentInput.Seen(World.Containers[one.Id]));
        }

        /// <summary>Removed by hand. Only one that was seen to run: before that, or with another attempt at its start on the way, nobody can tell "removed" from "never made".</summary>
        private void VanishOne(int pick)
        {
            var seen = World.Core.Reports().Where(x => x.Phase == Phase.Running && World.Containers.ContainsKey(x.Id) && !_orders.Any(o => o is AgentAction.Start && o.Id == x.Id)).Select(x => x.Id).ToList();
            if (seen.Count > 0) World.Containers.Remove(seen[pick % seen.Count]);
        }

        private void Advance(double seconds)
        {
            World.Pass(seconds);
            Take();
        }
    }
}
