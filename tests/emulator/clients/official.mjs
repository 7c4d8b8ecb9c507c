// The scenario of every official client, in JavaScript: arguments URL and TOKEN.
// The authority's certificate is found through NODE_EXTRA_CA_CERTS.
import { createRequire } from "node:module";
import assert from "node:assert/strict";

const require = createRequire(process.env.MODULES + "/");
const { SecretClient } = require("@azure/keyvault-secrets");
const [url, token] = process.argv.slice(2);
const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_000_000 }) };
const options = { disableChallengeResourceVerification: true, allowInsecureConnection: url.startsWith("http:") };
const client = new SecretClient(url, credential, process.argv.includes("--default-verification") ? {} : options);
const refused = async (promise, statusCode) => assert.rejects(promise, (error) => error.statusCode === statusCode);

const first = await client.setSecret("js", "one", { tags: { a: "1" }, contentType: "text" });
await client.setSecret("js", "two");
assert.equal((await client.getSecret("js")).value, "two");
assert.equal((await client.getSecret("js", { version: first.properties.version })).value, "one");
await client.updateSecretProperties("js", first.properties.version, { enabled: false });
await refused(client.getSecret("js", { version: first.properties.version }), 403);
await refused(client.getSecret("js-missing"), 404);

for (let n = 0; n < 30; n++) await client.setSecret(`js-page-${n}`, `${n}`);
let count = 0;
for await (const properties of client.listPropertiesOfSecrets()) count += properties.name.startsWith("js-page") ? 1 : 0;
assert.equal(count, 30);
let largest = 0;
for await (const page of client.listPropertiesOfSecrets().byPage({ maxPageSize: 7 })) largest = Math.max(largest, page.length);
assert.ok(largest <= 7);

const before = await client.getSecret("js");
const backup = await client.backupSecret("js");
const deleting = await client.beginDeleteSecret("js", { intervalInMs: 200 });
await deleting.pollUntilDone();
await refused(client.setSecret("js", "three"), 409);
const recovering = await client.beginRecoverDeletedSecret("js", { intervalInMs: 200 });
await recovering.pollUntilDone();
assert.equal((await client.getSecret("js")).value, "two");
await (await client.beginDeleteSecret("js", { intervalInMs: 200 })).pollUntilDone();
await client.purgeDeletedSecret("js");
let restored;
while (!restored) restored = await client.restoreSecretBackup(backup).catch((error) => assert.equal(error.statusCode, 409));
assert.deepEqual(restored.createdOn, before.properties.createdOn);
await refused(client.restoreSecretBackup(new Uint8Array([1, 2, 3])), 400);
console.log("ok");
