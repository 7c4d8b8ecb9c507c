"""The scenario of every client, in Python: `scenario.py blocking|asyncio WHERE`.

WHERE is the line that `akvfs emulator` prints, with the number of empty pages before each page of a list. With
`defaults` in it the client has its default settings.
"""

import asyncio
import json
import sys
import time
from datetime import datetime, timezone

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure.keyvault.secrets.aio import SecretClient as AsyncSecretClient

CLIENT, WHERE = sys.argv[1], json.loads(sys.argv[2])
SETTINGS = {"connection_verify": WHERE["ca"], "verify_challenge_resource": False}
OPTIONS = {} if WHERE.get("defaults") else SETTINGS
PATIENCE = 30
UNICODE = "grün \U0001f511 \u202e\u0301\r\n\t\"\\"
LONGEST = "x" * 25_600
NOT_BEFORE = datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
EXPIRES_ON = datetime(2037, 12, 31, tzinfo=timezone.utc)


def token():
    with open(WHERE["token_file"], encoding="ascii") as file:
        return AccessToken(file.read(), int(time.time()) + 3600)


class Credential:
    def get_token(self, *_scopes, **_options):
        return token()


class AsyncCredential:
    async def get_token(self, *_scopes, **_options):
        return token()

    async def close(self):
        pass


class Blocking:
    """The blocking client, with the words of the other one."""

    def __init__(self):
        self.client = SecretClient(WHERE["url"], Credential(), **OPTIONS)

    def __getattr__(self, name):
        async def call(*arguments, **options):
            return getattr(self.client, name)(*arguments, **options)

        return call

    async def delete_all(self, *names):
        pollers = [self.client.begin_delete_secret(name) for name in names]
        return [finished(poller) for poller in pollers]

    async def recover(self, name):
        return finished(self.client.begin_recover_deleted_secret(name))

    async def items(self, listing, *arguments):
        return list(getattr(self.client, listing)(*arguments))

    async def pages(self, listing, *arguments):
        return [list(page) for page in getattr(self.client, listing)(*arguments, max_page_size=2).by_page()]


class Asyncio:
    """The asyncio client; its deletions and recoveries poll by themselves."""

    def __init__(self):
        self.client = AsyncSecretClient(WHERE["url"], AsyncCredential(), **OPTIONS)

    def __getattr__(self, name):
        return getattr(self.client, name)

    async def delete_all(self, *names):
        return await asyncio.gather(*map(self.client.delete_secret, names))

    async def recover(self, name):
        return await self.client.recover_deleted_secret(name)

    async def items(self, listing, *arguments):
        return [item async for item in getattr(self.client, listing)(*arguments)]

    async def pages(self, listing, *arguments):
        pages = getattr(self.client, listing)(*arguments, max_page_size=2).by_page()
        return [[item async for item in page] async for page in pages]


def finished(poller):
    poller.wait()
    return poller.result()


def same(shown, expected):
    assert shown == expected, f"{shown!r} is not {expected!r}"


async def refused(call, status, code):
    try:
        await call
    except HttpResponseError as error:
        inner = error.error.innererror or {}
        same((error.status_code, inner.get("code", error.error.code)), (status, code))
    else:
        raise AssertionError(f"no {code}")


async def until_not(kind, call):
    """Calls until the outcome is another one than this refusal."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await call()
        except kind:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)


def described(secret):
    properties = secret.properties
    dates = (properties.not_before, properties.expires_on)
    return (secret.value, properties.content_type, properties.tags, properties.enabled, dates)


async def set_and_get(vault):
    first = await vault.set_secret("plain", "first")
    await vault.set_secret("plain", "second")
    third = await vault.set_secret("plain", "third")
    same(described(third), ("third", None, None, True, (None, None)))
    same(third.properties.recovery_level, "Recoverable+Purgeable")
    same((await vault.get_secret("plain")).value, "third")
    same((await vault.get_secret("plain")).id, third.id)
    same((await vault.get_secret("PLAIN", first.properties.version)).value, "first")
    tags = {"a": "b", "ключ": "värde"}
    given = {"content_type": "text/plain", "tags": tags, "not_before": NOT_BEFORE, "expires_on": EXPIRES_ON}
    await vault.set_secret("full", "value", **given)
    expected = ("value", "text/plain", tags, True, (NOT_BEFORE, EXPIRES_ON))
    same(described(await vault.get_secret("full")), expected)


async def values(vault):
    for name, value in [("empty", ""), ("longest", LONGEST), ("unicode", UNICODE)]:
        same((await vault.set_secret(name, value)).value, value)
        same((await vault.get_secret(name)).value, value)
    await refused(vault.set_secret("longest", LONGEST + "x"), 400, "BadParameter")


async def update(vault):
    before = (await vault.get_secret("full")).properties
    after = await vault.update_secret_properties("full", content_type="new", tags={"c": "d"}, enabled=False)
    same((after.version, after.content_type, after.tags, after.enabled), (before.version, "new", {"c": "d"}, False))
    same((after.not_before, after.expires_on, after.created_on), (NOT_BEFORE, EXPIRES_ON, before.created_on))
    assert after.updated_on >= before.updated_on
    await refused(vault.get_secret("full"), 403, "SecretDisabled")
    await vault.update_secret_properties("full", before.version, enabled=True)
    same(described(await vault.get_secret("full"))[:4], ("value", "new", {"c": "d"}, True))


async def refusals(vault):
    disabled = await vault.set_secret("disabled", "hidden", enabled=False)
    same((disabled.value, disabled.properties.enabled), ("hidden", False))
    await refused(vault.get_secret("disabled"), 403, "SecretDisabled")
    await refused(vault.get_secret("unknown"), 404, "SecretNotFound")
    await refused(vault.get_secret("plain", "0" * 32), 404, "SecretNotFound")
    await refused(vault.get_deleted_secret("plain"), 404, "SecretNotFound")
    await refused(vault.update_secret_properties("unknown", enabled=True), 404, "SecretNotFound")
    await refused(vault.restore_secret_backup(b"garbage"), 400, "Malformed backup blob")


async def listed(vault, expected, shown, listing, *arguments):
    """The list as a whole, and by pages of two with so many empty ones before each."""
    same([shown(item) for item in await vault.items(listing, *arguments)], expected)
    pages = await vault.pages(listing, *arguments)
    full = [[shown(item) for item in page] for page in pages if page]
    same(full, [expected[at : at + 2] for at in range(0, len(expected), 2)])
    same(len(pages) - len(full), len(full) * WHERE["empty_pages"])


async def lists(vault):
    names = ["disabled", "empty", "full", "longest", "plain", "unicode"]
    await listed(vault, names, lambda item: item.name, "list_properties_of_secrets")
    versions = await vault.items("list_properties_of_secret_versions", "plain")
    same(len(versions), 3)
    ids = sorted(item.id for item in versions)
    await listed(vault, ids, lambda item: item.id, "list_properties_of_secret_versions", "plain")
    same(await vault.items("list_properties_of_secret_versions", "unknown"), [])


async def delete(vault):
    deleted = await vault.delete_all("plain", "full", "disabled")
    same([secret.name for secret in deleted], ["plain", "full", "disabled"])
    same([(secret.scheduled_purge_date - secret.deleted_date).days for secret in deleted], [90] * 3)
    same((await vault.get_deleted_secret("plain")).recovery_id, deleted[0].recovery_id)
    await refused(vault.get_secret("plain"), 404, "SecretNotFound")
    await refused(vault.set_secret("plain", "fourth"), 409, "ObjectIsDeletedButRecoverable")
    await listed(vault, ["disabled", "full", "plain"], lambda item: item.name, "list_deleted_secrets")


async def recover(vault, before):
    same((await vault.recover("full")).id, before.id)
    after = await vault.get_secret("full")
    same((described(after), after.id), (described(before), before.id))
    same(after.properties.updated_on, before.properties.updated_on)


async def purge(vault):
    for name in ["plain", "disabled"]:
        await vault.purge_deleted_secret(name)
        await refused(vault.get_deleted_secret(name), 404, "SecretNotFound")
    reborn = await until_not(ResourceExistsError, lambda: vault.set_secret("disabled", "reborn"))
    same(reborn.value, "reborn")
    same(len(await vault.items("list_properties_of_secret_versions", "disabled")), 1)


def times(properties):
    return (properties.id, properties.created_on, properties.updated_on)


async def scenario(vault):
    for step in [set_and_get, values, update, refusals, lists]:
        await step(vault)
    full = await vault.get_secret("full")
    latest = await vault.get_secret("plain")
    versions = await vault.items("list_properties_of_secret_versions", "plain")
    backup = await vault.backup_secret("plain")
    await refused(vault.restore_secret_backup(backup), 409, "Conflict")
    await delete(vault)
    await purge(vault)
    restored = await until_not(ResourceExistsError, lambda: vault.restore_secret_backup(backup))
    same(times(restored), times(latest.properties))
    await recover(vault, full)
    restored = await until_not(ResourceNotFoundError, lambda: vault.get_secret("plain"))
    same((restored.value, times(restored.properties)), ("third", times(latest.properties)))
    again = await vault.items("list_properties_of_secret_versions", "plain")
    same([*map(times, again)], [*map(times, versions)])


async def main():
    vault = {"blocking": Blocking, "asyncio": Asyncio}[CLIENT]()
    try:
        await scenario(vault)
    finally:
        await vault.close()


asyncio.run(main())
