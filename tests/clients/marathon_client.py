#!/usr/bin/python3
"""Drives a running platform through Debian's python3-marathon, as its users' scripts do. Usage: marathon_client.py http://HOST:PORT"""
import sys
import threading
import time

from marathon import MarathonClient, NotFoundError
from marathon.models import MarathonApp, MarathonConstraint, MarathonHealthCheck
from marathon.models.group import MarathonGroup

client = MarathonClient(sys.argv[1], timeout=30)


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f'{what} has not come true in {seconds} s')


def settled():
    until('all deployments have ended', lambda: not client.list_deployments())


def running(app_id, count):
    return len([t for t in client.list_tasks(app_id) if t.started_at]) == count


# Server
assert client.ping() == b'"pong"'  # it accepts JSON
assert client.get_info().name == 'marathon'
assert ':' in client.get_leader()['leader']
assert 'gauges' in client.get_metrics()

# Events, followed from here on
seen = []


def follow():
    for event in client.event_stream(event_types=['deployment_success', 'status_update_event']):
        seen.append(event)


threading.Thread(target=follow, daemon=True).start()

# Apps
app = client.create_app('/client/sleeper', MarathonApp(
    cmd='sleep 600', cpus=0.01, mem=16, instances=1, env={'A': '1'}, labels={'team': 'blue'},
    constraints=[MarathonConstraint('hostname', 'LIKE', '.*')]))
assert app.id == '/client/sleeper' and app.instances == 1
settled()
until('one task runs', lambda: running('/client/sleeper', 1))
got = client.get_app('/client/sleeper', embed_tasks=True)
assert (got.cmd, got.env, got.labels, got.tasks_running) == ('sleep 600', {'A': '1'}, {'team': 'blue'}, 1)
assert got.constraints[0].operator == 'LIKE' and got.tasks[0].app_id == '/client/sleeper'
assert [a.id for a in client.list_apps(cmd='SLEEP', embed_tasks=True)] == ['/client/sleeper']
assert [a.id for a in client.list_apps(label='team==blue')] == ['/client/sleeper']
assert client.list_apps(label='team==red') == []
until('the success is told', lambda: any(e.event_type == 'deployment_success' for e in list(seen)))
assert any(e.event_type == 'status_update_event' and e.task_status == 'TASK_RUNNING' for e in list(seen))

first = client.list_tasks('/client/sleeper')[0].id
client.scale_app('/client/sleeper', instances=3)
settled()
assert running('/client/sleeper', 3)
client.scale_app('/client/sleeper', delta=-2)
settled()
assert [t.id for t in client.list_tasks('/client/sleeper')] == [first], 'the first task is kept'

versions = client.list_versions('/client/sleeper')
assert len(versions) == 3
assert client.get_version('/client/sleeper', versions[0]).id == '/client/sleeper'
client.update_app('/client/sleeper', MarathonApp(env={'A': '2'}))
settled()
after = client.get_app('/client/sleeper')
assert (after.env, after.cmd, after.instances) == ({'A': '2'}, 'sleep 600', 1), 'only what was said changes'
second = client.list_tasks('/client/sleeper')[0].id
assert second != first
client.rollback_app('/client/sleeper', max(versions))
settled()
assert client.get_app('/client/sleeper').env == {'A': '1'}
client.restart_app('/client/sleeper')
settled()
assert client.list_tasks('/client/sleeper')[0].id != second

victim = client.list_tasks('/client/sleeper')[0].id
client.kill_task('/client/sleeper', victim)
until('another task has come', lambda: running('/client/sleeper', 1) and client.list_tasks('/client/sleeper')[0].id != victim)
victim = client.list_tasks('/client/sleeper')[0].id
client.kill_given_tasks([victim])
until('and another', lambda: running('/client/sleeper', 1) and client.list_tasks('/client/sleeper')[0].id != victim)
client.kill_tasks('/client/sleeper', scale=True)
settled()
assert client.get_app('/client/sleeper').instances == 0

client.update_apps([MarathonApp(id='/client/sleeper', instances=1), MarathonApp(id='/client/other', cmd='sleep 600', cpus=0.01, mem=16)])
settled()
assert {a.id for a in client.list_apps()} == {'/client/sleeper', '/client/other'}

# What waits, and what was begun and is not wanted
client.create_app('/client/huge', MarathonApp(cmd='sleep 600', cpus=10000, mem=16))
until('it is queued', lambda: [i.app.id for i in client.list_queue()] == ['/client/huge'])
client.reset_delay('/client/huge')
deployment = client.list_deployments()[0]
assert deployment.affected_apps == ['/client/huge'] and deployment.current_step == 2
client.delete_deployment(deployment.id)
settled()
try:
    client.get_app('/client/huge')
    raise AssertionError('its creation was rolled back')
except NotFoundError:
    pass

# Event subscriptions
client.create_event_subscription('http://127.0.0.1:1/nobody')
assert client.list_event_subscriptions() == ['http://127.0.0.1:1/nobody']
client.delete_event_subscription('http://127.0.0.1:1/nobody')

# Groups
client.create_group(MarathonGroup(id='/shop', apps=[MarathonApp(id='/shop/db', cmd='sleep 600', cpus=0.01, mem=16)]))
settled()
assert [a.id for a in client.get_group('/shop').apps] == ['/shop/db']
assert {g.id for g in client.list_groups()} >= {'/shop', '/client'}
client.scale_group('/shop', 2)
settled()
assert client.get_app('/shop/db').instances == 2
client.delete_group('/shop', force=True)
settled()

client.delete_app('/client/sleeper', force=True)
client.delete_app('/client/other', force=True)
until('nothing is left', lambda: not client.list_apps() and not client.list_tasks())
print('done')
