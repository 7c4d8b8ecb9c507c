// The scenario of every client, in JavaScript: `node scenario.mjs WHERE`, with MODULES naming the folder of node_modules.
//
// WHERE is the line that `akvfs emulator` prints, with the number of empty pages before each page of a list. With
// `defaults` in it the client has its default settings. Node.js itself is told the certificate authority.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const { SecretClient } = createRequire(`${process.env.MODULES}/`)("@azure/keyvault-secrets");
const where = JSON.parse(process.argv[2]);
const patience = 30_000;
const unicode = 'grün \u{1f511} \u202e\u0301\r\n\t"\\';
const longest = "x".repeat(25_600);
const notBefore = new Date("2020-01-02T03:04:05Z");
const expiresOn = new Date("2037-12-31T00:00:00Z");

const token = () => readFileSync(where.token_file, "ascii");
const credential = { getToken: async () => ({ token: token(), expiresOnTimestamp: Date.now() + 3_600_000 }) };

function options() {
    if (where.defaults) return undefined;
    return { disableChallengeResourceVerification: true, allowInsecureConnection: where.url.startsWith("http:") };
}

const vault = new SecretClient(where.url, credential, options());

async function all(items) {
    const array = [];
    for await (const item of items) array.push(item);
    return array;
}

const finished = (poller) => poller.pollUntilDone();

async function refused(call, statusCode, code) {
    await assert.rejects(call, (error) => {
        const inner = error.details.error.innerError?.code;
        assert.deepEqual([error.statusCode, inner ?? error.code], [statusCode, code]);
        return true;
    });
}

/** Calls until the outcome is another one than this status. */
async function untilNot(statusCode, call) {
    for (const end = Date.now() + patience; Date.now() < end; await sleep(100)) {
        const outcome = await call().catch((error) => assert.equal(error.statusCode, statusCode));
        if (outcome) return outcome;
    }
    assert.fail(`it stays ${statusCode}`);
}

function described({ value, properties }) {
    const { contentType, tags, enabled, notBefore, expiresOn } = properties;
    return { value, contentType, tags, enabled, notBefore, expiresOn };
}

async function setAndGet() {
    const first = await vault.setSecret("plain", "first");
    await vault.setSecret("plain", "second");
    const third = await vault.setSecret("plain", "third");
    const nothing = { contentType: undefined, tags: undefined, notBefore: undefined, expiresOn: undefined };
    assert.deepEqual(described(third), { value: "third", enabled: true, ...nothing });
    assert.equal(third.properties.recoveryLevel, "Recoverable+Purgeable");
    assert.equal((await vault.getSecret("plain")).value, "third");
    assert.equal((await vault.getSecret("plain")).properties.id, third.properties.id);
    assert.equal((await vault.getSecret("PLAIN", { version: first.properties.version })).value, "first");
    const given = { contentType: "text/plain", tags: { a: "b", ключ: "värde" }, notBefore, expiresOn };
    await vault.setSecret("full", "value", given);
    assert.deepEqual(described(await vault.getSecret("full")), { value: "value", enabled: true, ...given });
}

async function values() {
    for (const [name, value] of Object.entries({ empty: "", longest, unicode })) {
        assert.equal((await vault.setSecret(name, value)).value, value);
        assert.equal((await vault.getSecret(name)).value, value);
    }
    await refused(vault.setSecret("longest", `${longest}x`), 400, "BadParameter");
}

async function update() {
    const { properties: before } = await vault.getSecret("full");
    const change = { contentType: "new", tags: { c: "d" }, enabled: false };
    const after = await vault.updateSecretProperties("full", "", change);
    assert.equal(after.version, before.version);
    const expected = { value: undefined, notBefore, expiresOn, ...change };
    assert.deepEqual(described({ properties: after }), expected);
    assert.deepEqual(after.createdOn, before.createdOn);
    assert.ok(after.updatedOn >= before.updatedOn);
    await refused(vault.getSecret("full"), 403, "SecretDisabled");
    await vault.updateSecretProperties("full", before.version, { enabled: true });
    assert.deepEqual(described(await vault.getSecret("full")), { ...expected, value: "value", enabled: true });
}

async function refusals() {
    const disabled = await vault.setSecret("disabled", "hidden", { enabled: false });
    assert.deepEqual([disabled.value, disabled.properties.enabled], ["hidden", false]);
    await refused(vault.getSecret("disabled"), 403, "SecretDisabled");
    await refused(vault.getSecret("unknown"), 404, "SecretNotFound");
    await refused(vault.getSecret("plain", { version: "0".repeat(32) }), 404, "SecretNotFound");
    await refused(vault.getDeletedSecret("plain"), 404, "SecretNotFound");
    await refused(vault.updateSecretProperties("unknown", "", { enabled: true }), 404, "SecretNotFound");
    await refused(vault.restoreSecretBackup(Buffer.from("garbage")), 400, "Malformed backup blob");
}

/** The list as a whole, and by pages of two with so many empty ones before each. */
async function listed(list, expected, key) {
    assert.deepEqual((await all(list())).map((item) => item[key]), expected);
    const pages = await all(list().byPage({ maxPageSize: 2 }));
    const full = pages.filter((page) => page.length > 0);
    const twos = expected.flatMap((_, at) => (at % 2 ? [] : [expected.slice(at, at + 2)]));
    assert.deepEqual(full.map((page) => page.map((item) => item[key])), twos);
    assert.equal(pages.length - full.length, full.length * where.empty_pages);
}

async function lists() {
    const names = ["disabled", "empty", "full", "longest", "plain", "unicode"];
    await listed(() => vault.listPropertiesOfSecrets(), names, "name");
    const versions = (await versionsOf("plain")).map((version) => version.id);
    assert.equal(versions.length, 3);
    await listed(() => vault.listPropertiesOfSecretVersions("plain"), versions.sort(), "id");
    assert.deepEqual(await versionsOf("unknown"), []);
}

const versionsOf = (name) => all(vault.listPropertiesOfSecretVersions(name));

async function deleted() {
    const names = ["plain", "full", "disabled"];
    const pollers = await Promise.all(names.map((name) => vault.beginDeleteSecret(name)));
    const results = await Promise.all(pollers.map(finished));
    assert.deepEqual(results.map((secret) => secret.name), names);
    const days = results.map(({ properties }) => (properties.scheduledPurgeDate - properties.deletedOn) / 86_400_000);
    assert.deepEqual(days, [90, 90, 90]);
    assert.equal((await vault.getDeletedSecret("plain")).properties.recoveryId, results[0].properties.recoveryId);
    await refused(vault.getSecret("plain"), 404, "SecretNotFound");
    await refused(vault.setSecret("plain", "fourth"), 409, "ObjectIsDeletedButRecoverable");
    await listed(() => vault.listDeletedSecrets(), ["disabled", "full", "plain"], "name");
}

async function recovered(before) {
    assert.equal((await finished(await vault.beginRecoverDeletedSecret("full"))).id, before.properties.id);
    const after = await vault.getSecret("full");
    assert.deepEqual(described(after), described(before));
    assert.deepEqual(times(after.properties), times(before.properties));
}

async function purged() {
    for (const name of ["plain", "disabled"]) {
        await vault.purgeDeletedSecret(name);
        await refused(vault.getDeletedSecret(name), 404, "SecretNotFound");
    }
    const reborn = await untilNot(409, () => vault.setSecret("disabled", "reborn"));
    assert.equal(reborn.value, "reborn");
    assert.equal((await versionsOf("disabled")).length, 1);
}

const times = ({ id, createdOn, updatedOn }) => ({ id, createdOn, updatedOn });

for (const step of [setAndGet, values, update, refusals, lists]) await step();
const full = await vault.getSecret("full");
const latest = await vault.getSecret("plain");
const versions = await versionsOf("plain");
const backup = await vault.backupSecret("plain");
await refused(vault.restoreSecretBackup(backup), 409, "Conflict");
await deleted();
await purged();
assert.deepEqual(times(await untilNot(409, () => vault.restoreSecretBackup(backup))), times(latest.properties));
await recovered(full);
const restored = await untilNot(404, () => vault.getSecret("plain"));
assert.equal(restored.value, "third");
assert.deepEqual(times(restored.properties), times(latest.properties));
assert.deepEqual((await versionsOf("plain")).map(times), versions.map(times));
