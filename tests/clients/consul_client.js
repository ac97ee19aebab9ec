// Drives a KV door through npm's consul: keys, transactions, sessions, locks, and its watch. Usage: NODE_PATH=… node consul_client.js PORT
const assert = require('assert');
const Consul = require('consul');

const consul = new Consul({ host: '127.0.0.1', port: Number(process.argv[2]) });

async function keys() {
  assert.strictEqual(await consul.kv.set('js/colour', 'blue'), true);
  const entry = await consul.kv.get('js/colour');
  assert.strictEqual(entry.Value, 'blue');
  assert.strictEqual(await consul.kv.set({ key: 'js/colour', value: 'green', cas: String(entry.ModifyIndex) }), true);
  assert.ok(!(await consul.kv.set({ key: 'js/colour', value: 'red', cas: String(entry.ModifyIndex) })));
  assert.strictEqual(await consul.kv.get('js/none'), undefined);
  assert.deepStrictEqual(await consul.kv.keys('js/'), ['js/colour']);
  assert.strictEqual((await consul.kv.get({ key: 'js/', recurse: true })).length, 1);
  assert.strictEqual((await consul.kv.get({ key: 'js/colour', consistent: true })).Value, 'green');
}

function watch() {
  return new Promise((resolve, reject) => {
    const seen = [];
    const watching = consul.watch({ method: consul.kv.get, options: { key: 'js/watched', wait: '30s' }, backoffFactor: 100 });
    const late = setTimeout(() => reject(new Error(`seen only ${JSON.stringify(seen)}`)), 60000);
    watching.on('error', reject);
    watching.on('change', data => {
      seen.push(data ? data.Value : null);
      if (seen.length < 4) consul.kv.set('js/watched', `v${seen.length}`).catch(reject);
      else {
        clearTimeout(late);
        watching.end();
        resolve(seen);
      }
    });
  });
}

async function locks() {
  const { ID: session } = await consul.session.create({ name: 'js', ttl: '30s', lockdelay: '1s' });
  assert.strictEqual(await consul.kv.set({ key: 'js/lock', value: 'me', acquire: session }), true);
  assert.strictEqual((await consul.kv.get('js/lock')).Session, session);
  assert.strictEqual((await consul.session.get(session)).Name, 'js');
  assert.strictEqual((await consul.session.renew(session))[0].ID, session);
  assert.strictEqual(await consul.kv.set({ key: 'js/lock', value: 'free', release: session }), true);
  await consul.session.destroy(session);
  assert.ok(!(await consul.session.list()).some(s => s.ID === session));
}

(async () => {
  assert.ok(await consul.status.leader());
  await keys();
  assert.deepStrictEqual((await watch()).slice(-3), ['v1', 'v2', 'v3']);
  await locks();
  const done = await consul.transaction.create([{ KV: { Verb: 'set', Key: 'js/txn', Value: Buffer.from('v').toString('base64') } }]);
  assert.strictEqual(done.Errors, null);
  await consul.kv.del({ key: 'js/', recurse: true });
  console.log('done');
})().catch(e => { console.error(e); process.exit(1); });
