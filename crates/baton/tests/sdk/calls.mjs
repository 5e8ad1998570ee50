// Every call of the published SDK, as it comes from npm, against a running engine.
//
// The engine has a relayer `main` on a network `devnet` whose blocks come by themselves, and an encrypted store.
// Usage: node calls.mjs, with SDK (the package's directory), BATON_URL, METRICS_URL, API_KEY, SIGNER_KEY, ADDRESS.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { SDK, BATON_URL, METRICS_URL, API_KEY, SIGNER_KEY, ADDRESS } = process.env;
const sdk = createRequire(import.meta.url)(SDK);

const TO = '0x000000000000000000000000000000000000dEaD';
const OTHER = '0x000000000000000000000000000000000000bEEF';
const FINAL = ['confirmed', 'failed', 'canceled', 'expired'];
// Longest wait for a status: the machine may be busy with other tests.
const WAIT_MS = 60_000;

// Which calls were made, to be compared with those that there are.
const made = new Set();
const configuration = new sdk.Configuration({ basePath: BATON_URL, accessToken: API_KEY });
const health = api('HealthApi', configuration);
const metrics = api('MetricsApi', new sdk.Configuration({ basePath: METRICS_URL }));
const networks = api('NetworksApi', configuration);
const notifications = api('NotificationsApi', configuration);
const plugins = api('PluginsApi', configuration);
const relayers = api('RelayersApi', configuration);
const signers = api('SignersApi', configuration);

await probes();
await metricsAreListed();
await networkCalls();
await signerCalls();
await notificationCalls();
await relayerCalls();
await transactionCalls();
await signatures();
await passthrough();
await whatIsNotServed();
await removals();
assertAllWereMade();
console.log(`${made.size} calls`);

function api(name, configuration) {
    const object = new sdk[name](configuration);
    return new Proxy(object, {
        get(target, method) {
            made.add(`${name}.${String(method)}`);
            return target[method].bind(target);
        },
    });
}

function assertAllWereMade() {
    const classes = Object.keys(sdk).filter((name) => name.endsWith('Api'));
    const all = classes.flatMap((name) => {
        const methods = Object.getOwnPropertyNames(sdk[name].prototype);
        return methods.filter((method) => method !== 'constructor').map((method) => `${name}.${method}`);
    });
    assert.deepEqual([...made].sort(), all.sort());
}

// The data of an answer in the envelope that has to be a success.
async function data(call, status = 200) {
    const response = await call;
    assert.equal(response.status, status);
    assert.equal(response.data.success, true);
    assert.equal(response.data.error, null);
    return response.data.data;
}

// The text of an answer in the envelope that has to be this error.
async function refused(call, status) {
    const error = await call.then(
        () => assert.fail(`expected ${status}, found a success`),
        (error) => error,
    );
    assert.ok(error.response, String(error));
    assert.equal(error.response.status, status, JSON.stringify(error.response.data));
    assert.equal(error.response.data.success, false);
    assert.equal(error.response.data.data, null);
    return error.response.data.error;
}

// A page of a list: its items, and what it says of the list.
async function page(call) {
    const response = await call;
    assert.equal(response.data.success, true);
    return [response.data.data, response.data.pagination];
}

async function until(relayer, id, statuses) {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
        const found = await data(relayers.getTransactionById(relayer, id));
        if (statuses.includes(found.status)) {
            return found;
        }
        const over = FINAL.includes(found.status) || Date.now() > deadline;
        assert.ok(!over, `expected ${statuses}, found ${JSON.stringify(found)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

async function probes() {
    assert.equal((await health.health()).data, 'OK');
    const ready = await health.readiness();
    assert.equal(ready.status, 200);
    assert.equal(ready.data.ready, true);
    assert.equal(ready.data.status, 'healthy');
}

async function metricsAreListed() {
    const names = (await metrics.listMetrics()).data;
    assert.ok(Array.isArray(names) && names.includes('requests_total'), JSON.stringify(names));
    const one = (await metrics.metricDetail('requests_total')).data;
    assert.match(one, /requests_total\{endpoint="\/api\/v1\/health"/);
    const all = (await metrics.scrapeMetrics()).data;
    assert.match(all, /transactions_created_total|account_balance_wei/);
}

async function networkCalls() {
    const [all, pagination] = await page(networks.listNetworks(1, 100));
    assert.equal(pagination.current_page, 1);
    assert.equal(pagination.per_page, 100);
    assert.equal(pagination.total_items, all.length);
    const devnet = await data(networks.getNetwork('evm:devnet'));
    assert.deepEqual(devnet, all.find((network) => network.id === 'evm:devnet'));
    assert.equal(devnet.network_type, 'evm');
    assert.equal(devnet.chain_id, 31337);
    const nodes = [{ url: devnet.rpc_urls[0].url, weight: 80 }];
    const changed = await data(networks.updateNetwork('evm:devnet', { rpc_urls: nodes }));
    assert.deepEqual(changed.rpc_urls, nodes);
    assert.match(await refused(networks.getNetwork('evm:none'), 404), /not found/);
    assert.match(await refused(networks.updateNetwork('evm:devnet', { rpc_urls: [] }), 400), /rpc_urls/);
}

async function signerCalls() {
    const created = await data(
        signers.createSigner({ id: 'sdk-signer', type: sdk.SignerTypeRequest.PLAIN, config: { key: SIGNER_KEY } }),
        201,
    );
    // The SDK's words: `plain` when it is made, `local` when it is shown.
    assert.deepEqual(created, { id: 'sdk-signer', type: sdk.SignerType.LOCAL, config: {} });
    assert.deepEqual(await data(signers.getSigner('sdk-signer')), created);
    const [all] = await page(signers.listSigners(1, 10));
    assert.ok(all.some((signer) => signer.id === 'sdk-signer'));
    assert.match(await refused(signers.updateSigner('sdk-signer', {}), 400), /not allowed/);
    assert.match(await refused(signers.getSigner('none'), 404), /Signer with ID none not found/);
}

async function notificationCalls() {
    const made = await data(
        notifications.createNotification({
            id: 'sdk-hook',
            type: sdk.NotificationType.WEBHOOK,
            url: 'https://hooks.example.org/relayer',
            signing_key: 'a signing key of more than 32 characters',
        }),
        201,
    );
    assert.equal(made.has_signing_key, true);
    const changed = await data(notifications.updateNotification('sdk-hook', { signing_key: '' }));
    assert.equal(changed.has_signing_key, false);
    const read = await data(notifications.getNotification('sdk-hook'));
    assert.deepEqual(read, changed);
    const [all, pagination] = await page(notifications.listNotifications());
    assert.ok(all.some((notification) => notification.id === 'sdk-hook'));
    assert.equal(pagination.per_page, 10);
}

async function relayerCalls() {
    const created = await data(
        relayers.createRelayer({
            id: 'sdk-relayer',
            name: 'From the SDK',
            network: 'devnet',
            network_type: sdk.RelayerNetworkType.EVM,
            paused: false,
            signer_id: 'sdk-signer',
            notification_id: 'sdk-hook',
            policies: { min_balance: 5, eip1559_pricing: true },
        }),
        201,
    );
    assert.equal(created.address.toLowerCase(), ADDRESS.toLowerCase());
    assert.equal(created.system_disabled, false);
    assert.equal(created.policies.min_balance, 5);
    const patch = { name: 'Renamed', policies: { gas_price_cap: 500_000_000_000 }, notification_id: null };
    const changed = await data(relayers.updateRelayer('sdk-relayer', patch));
    assert.equal(changed.name, 'Renamed');
    assert.equal(changed.policies.min_balance, 5);
    assert.equal(changed.policies.gas_price_cap, 500_000_000_000);
    const { notification_id: _, ...read } = await data(relayers.getRelayer('sdk-relayer'));
    assert.equal(read.name, 'Renamed');
    const [all, pagination] = await page(relayers.listRelayers(1, 10));
    assert.deepEqual(all.map((relayer) => relayer.id).sort(), ['main', 'sdk-relayer']);
    assert.equal(pagination.total_items, 2);
    const status = await data(relayers.getRelayerStatus('sdk-relayer'));
    assert.equal(status.network_type, 'evm');
    assert.equal(status.paused, false);
    assert.equal(typeof status.balance, 'string');
    assert.equal(typeof status.nonce, 'string');
    const balance = await data(relayers.getRelayerBalance('sdk-relayer'));
    assert.equal(balance.unit, 'wei');
    assert.equal(typeof balance.balance, 'number');
    assert.match(await refused(relayers.getRelayer('none'), 404), /Relayer with ID none not found/);
}

async function transactionCalls() {
    const speed = sdk.Speed.FAST;
    const transfer = { to: TO, value: 1, data: '0x', gas_limit: 21000, speed };
    const sent = await data(relayers.sendTransaction('sdk-relayer', transfer));
    assert.equal(sent.status, 'pending');
    assert.equal(sent.value, '0x1');
    assert.equal(sent.relayer_id, 'sdk-relayer');
    const confirmed = await until('sdk-relayer', sent.id, ['confirmed']);
    assert.match(confirmed.hash, /^0x[0-9a-f]{64}$/);
    const nonce = confirmed.nonce;
    const found = await data(relayers.getTransactionByNonce('sdk-relayer', nonce));
    assert.equal(found.id, sent.id);
    const [page1, pagination] = await page(relayers.listTransactions('sdk-relayer', 1, 10));
    assert.equal(page1[0].id, sent.id);
    assert.equal(pagination.total_items, 1);
    await replaceAndCancel();
    await refused(relayers.cancelTransaction('sdk-relayer', sent.id), 400);
    assert.match(
        await refused(relayers.sendTransaction('sdk-relayer', { to: TO, value: 1 }), 400),
        /Transaction must specify either gasPrice, speed, or EIP1559 parameters/,
    );
}

// Transactions that stay where they are, for nobody mines at such a price, until something is done about them.
async function replaceAndCancel() {
    const stuck = { to: TO, value: 1, data: '0x', gas_limit: 21000, gas_price: 1 };
    const first = await data(relayers.sendTransaction('sdk-relayer', stuck));
    const replacement = { to: OTHER, value: 7, data: '0x', gas_limit: 21000, gas_price: 100_000_000_000 };
    await data(relayers.replaceTransaction('sdk-relayer', first.id, replacement));
    const replaced = await until('sdk-relayer', first.id, ['confirmed']);
    assert.equal(replaced.to.toLowerCase(), OTHER.toLowerCase());
    assert.equal(replaced.value, '0x7');

    const second = await data(relayers.sendTransaction('sdk-relayer', stuck));
    await data(relayers.cancelTransaction('sdk-relayer', second.id));
    await until('sdk-relayer', second.id, ['canceled']);

    const third = await data(relayers.sendTransaction('sdk-relayer', stuck));
    const deleted = await data(relayers.deletePendingTransactions('sdk-relayer'));
    assert.deepEqual(deleted.queued_for_cancellation_transaction_ids, [third.id]);
    assert.deepEqual(deleted.failed_to_queue_transaction_ids, []);
    assert.equal(deleted.total_processed, 1);
    await until('sdk-relayer', third.id, ['canceled']);
}

async function signatures() {
    const hash = `0x${'11'.repeat(32)}`;
    for (const signed of [
        await data(relayers.sign('sdk-relayer', { message: 'Hello' })),
        await data(relayers.signTypedData('sdk-relayer', { domain_separator: hash, hash_struct_message: hash })),
    ]) {
        assert.match(signed.r, /^[0-9a-f]{64}$/);
        assert.match(signed.s, /^[0-9a-f]{64}$/);
        assert.ok([27, 28].includes(signed.v));
        assert.equal(signed.sig.length, 130);
    }
    const text = await refused(relayers.signTransaction('sdk-relayer', { unsigned_xdr: 'AAAA' }), 400);
    assert.match(text, /not supported for EVM/);
}

async function passthrough() {
    const ask = async (method, params) =>
        (await relayers.rpc('sdk-relayer', { jsonrpc: '2.0', id: 7, method, params })).data;
    assert.deepEqual(await ask('eth_chainId', []), { jsonrpc: '2.0', result: '0x7a69', id: 7 });
    const balance = await ask('eth_getBalance', [OTHER, 'latest']);
    assert.equal(balance.result, '0x7');
    const failed = await ask('eth_call', [{ to: 'nonsense' }, 'latest']);
    assert.ok(Number.isInteger(failed.error.code) && failed.error.message.length > 0);
}

async function whatIsNotServed() {
    const gasless = { fee_token: 'none', transaction_xdr: 'AAAA' };
    const refusal = /Gas abstraction not supported for EVM relayers/;
    assert.match(await refused(relayers.quoteSponsoredTransaction('sdk-relayer', gasless), 400), refusal);
    assert.match(await refused(relayers.buildSponsoredTransaction('sdk-relayer', gasless), 400), refusal);
    for (const call of [
        () => plugins.listPlugins(),
        () => plugins.getPlugin('none'),
        () => plugins.updatePlugin('none', { emit_logs: true }),
        () => plugins.callPlugin('none', { params: {} }),
        () => plugins.callPluginGet('none'),
    ]) {
        assert.match(await refused(call(), 501), /Plugins are not supported/);
    }
}

async function removals() {
    const text = await refused(signers.deleteSigner('sdk-signer'), 400);
    assert.match(text, /being used by 1 relayer/);
    assert.equal(await data(relayers.deleteRelayer('sdk-relayer')), 'Relayer deleted successfully');
    await refused(relayers.getRelayer('sdk-relayer'), 404);
    assert.equal(await data(signers.deleteSigner('sdk-signer')), 'Signer deleted successfully');
    const deleted = await data(notifications.deleteNotification('sdk-hook'));
    assert.equal(deleted, 'Notification deleted successfully');
}
