"""The scenario of every official client, in Python, sync and async: arguments URL and TOKEN.

The authority's certificate is found through REQUESTS_CA_BUNDLE (sync) and SSL_CERT_FILE (async).
"""

import asyncio
import sys
import time

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure.keyvault.secrets.aio import SecretClient as AsyncSecretClient

URL, TOKEN = sys.argv[1], sys.argv[2]
VERIFY = "--default-verification" not in sys.argv
OPTIONS = {"verify_challenge_resource": False} if VERIFY else {}


class Credential:
    def get_token(self, *_scopes, **_options):
        return AccessToken(TOKEN, int(time.time()) + 3000)


class AsyncCredential:
    async def get_token(self, *_scopes, **_options):
        return AccessToken(TOKEN, int(time.time()) + 3000)

    async def close(self):
        pass


def refused(kind, call, status=None):
    try:
        call()
    except kind as error:
        assert status is None or error.status_code == status, error.status_code
        return error
    raise AssertionError(f"not refused: {kind}")


def sync():
    client = SecretClient(URL, Credential(), **OPTIONS)
    first = client.set_secret("py-sync", "one", content_type="text", tags={"a": "1"})
    second = client.set_secret("py-sync", "two")
    assert client.get_secret("py-sync").value == "two"
    assert client.get_secret("py-sync", first.properties.version).value == "one"
    assert second.properties.tags is None and second.properties.content_type is None
    versions = [v.version for v in client.list_properties_of_secret_versions("py-sync")]
    assert versions == sorted([first.properties.version, second.properties.version]), versions

    updated = client.update_secret_properties("py-sync", content_type="new", enabled=False)
    assert updated.content_type == "new" and updated.enabled is False
    refused(HttpResponseError, lambda: client.get_secret("py-sync"), 403)
    client.update_secret_properties("py-sync", enabled=True)
    refused(ResourceNotFoundError, lambda: client.get_secret("py-missing"))

    for n in range(30):
        client.set_secret(f"py-page-{n:02}", str(n))
    names = [p.name for p in client.list_properties_of_secrets() if p.name.startswith("py-page")]
    assert names == [f"py-page-{n:02}" for n in range(30)], names
    pages = [list(page) for page in client.list_properties_of_secrets(max_page_size=7).by_page()]
    assert max(map(len, pages)) <= 7 and sum(map(len, pages)) >= 31

    before = client.get_secret("py-sync").properties
    backup = client.backup_secret("py-sync")
    poller = client.begin_delete_secret("py-sync")
    poller.wait()
    assert poller.result().recovery_id.endswith("/deletedsecrets/py-sync")
    refused(ResourceExistsError, lambda: client.set_secret("py-sync", "three"), 409)
    assert "py-sync" in [s.name for s in client.list_deleted_secrets()]
    client.begin_recover_deleted_secret("py-sync").wait()
    assert client.get_secret("py-sync").value == "two"
    client.begin_delete_secret("py-sync").wait()
    client.purge_deleted_secret("py-sync")
    refused(ResourceNotFoundError, lambda: client.get_deleted_secret("py-sync"))
    while True:
        try:
            restored = client.restore_secret_backup(backup)
            break
        except ResourceExistsError:
            time.sleep(0.5)
    assert (restored.version, restored.created_on, restored.updated_on) == (
        before.version,
        before.created_on,
        before.updated_on,
    )
    refused(HttpResponseError, lambda: client.restore_secret_backup(b"garbage"), 400)
    refused(HttpResponseError, lambda: client.set_secret("py-sync-long", "x" * 25601), 400)
    assert client.set_secret("py-sync-empty", "").value == ""


async def asynchronous():
    async with AsyncSecretClient(URL, AsyncCredential(), **OPTIONS) as client:
        first = await client.set_secret("py-async", "one")
        await client.set_secret("py-async", "two")
        assert (await client.get_secret("py-async")).value == "two"
        assert (await client.get_secret("py-async", first.properties.version)).value == "one"
        versions = [v async for v in client.list_properties_of_secret_versions("py-async")]
        assert len(versions) == 2
        backup = await client.backup_secret("py-async")
        await client.delete_secret("py-async")
        await client.recover_deleted_secret("py-async")
        assert (await client.get_secret("py-async")).value == "two"
        await client.delete_secret("py-async")
        await client.purge_deleted_secret("py-async")
        while True:
            try:
                await client.restore_secret_backup(backup)
                break
            except ResourceExistsError:
                await asyncio.sleep(0.5)
        names = [p.name async for p in client.list_properties_of_secrets()]
        assert "py-page-29" in names


sync()
asyncio.run(asynchronous())
print("ok")
