#!/usr/bin/python3
"""Drives a KV door through Debian's python3-consul, as its users' scripts do. Usage: consul_client.py PORT"""
import sys
import threading

import consul

c = consul.Consul(port=int(sys.argv[1]))


def keys():
    assert c.kv.put('py/colour', 'blue')
    index, entry = c.kv.get('py/colour')
    assert entry['Value'] == b'blue' and entry['Key'] == 'py/colour' and entry['Flags'] == 0, entry
    assert c.kv.put('py/colour', 'green', cas=entry['ModifyIndex'])
    assert c.kv.put('py/colour', 'red', cas=entry['ModifyIndex']) is False
    assert c.kv.put('py/ünïcode', 'x', flags=7)
    assert c.kv.get('py/ünïcode')[1]['Flags'] == 7
    assert c.kv.put('py/empty', '')
    assert c.kv.get('py/empty')[1]['Value'] is None
    assert [e['Key'] for e in c.kv.get('py/', recurse=True)[1]] == ['py/colour', 'py/empty', 'py/ünïcode']
    assert c.kv.get('py/', keys=True, separator='/')[1] == ['py/colour', 'py/empty', 'py/ünïcode']
    assert c.kv.get('py/none') [1] is None
    assert c.kv.get('py/none', recurse=True)[1] is None
    assert c.kv.delete('py/empty') is True
    assert c.kv.delete('py/none') is True


def watch():
    index, entry = c.kv.get('py/colour')
    threading.Timer(0.3, lambda: consul.Consul(port=int(sys.argv[1])).kv.put('py/colour', 'yellow')).start()
    after, changed = c.kv.get('py/colour', index=index, wait='60s')
    assert changed['Value'] == b'yellow' and int(after) > int(index), (index, after, changed)


def locks():
    mine = c.session.create(name='mine', ttl=30, lock_delay=0, behavior='release')
    other = c.session.create(name='other', ttl=30, lock_delay=0, behavior='delete')
    assert {mine, other} <= {s['ID'] for s in c.session.list()[1]}
    assert c.session.info(mine)[1]['Name'] == 'mine'
    assert c.session.renew(mine)['ID'] == mine
    assert c.kv.put('py/leader', 'me', acquire=mine)
    assert c.kv.put('py/leader', 'you', acquire=other) is False
    assert c.kv.get('py/leader')[1]['Session'] == mine
    assert c.kv.put('py/leader', 'nobody', release=mine)
    assert 'Session' not in c.kv.get('py/leader')[1]
    assert c.kv.put('py/leader', 'you', acquire=other)
    assert c.session.destroy(other)
    assert c.kv.get('py/leader')[1] is None
    assert c.session.destroy(mine)
    try:
        c.session.renew(mine)
        raise AssertionError('a session that is gone was renewed')
    except consul.NotFound:
        pass


def transaction():
    import base64
    done = c.txn.put([{'KV': {'Verb': 'set', 'Key': 'py/txn', 'Value': base64.b64encode(b'v').decode()}}, {'KV': {'Verb': 'get', 'Key': 'py/txn'}}])
    assert done['Errors'] is None and done['Results'][1]['KV']['Value'] == 'dg==', done


def refused():
    try:
        c.kv.put('platform/apps/x', 'mine now')
        raise AssertionError('the published tree was written to')
    except consul.ACLPermissionDenied:
        pass


assert c.status.leader()
assert len(c.status.peers()) == 1
keys()
watch()
locks()
if hasattr(c, 'txn'):
    transaction()
if '--real' not in sys.argv:
    refused()
assert c.kv.delete('py/', recurse=True)
print('done')
