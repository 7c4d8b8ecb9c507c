"""Both directions: `mount.py WHERE DIR`. What Microsoft's client does shows in the writable mount at DIR, and
what is done with files shows to the client, byte for byte.

WHERE is the line that `akvfs emulator` prints. The mount has no cache.
"""

import json
import os
import shutil
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient

WHERE, DIR = json.loads(sys.argv[1]), Path(sys.argv[2])
VALUES = ["", "x" * 25_600, "a\r\nb\r\n", "grün \U0001f511 \u202e\0\t", "one line\n"]
EXPIRES_ON = datetime(2037, 12, 31, tzinfo=timezone.utc)
PATIENCE = 30


class Credential:
    def get_token(self, *_scopes, **_options):
        with open(WHERE["token_file"], encoding="ascii") as file:
            return AccessToken(file.read(), int(time.time()) + 3600)


client = SecretClient(WHERE["url"], Credential(), connection_verify=WHERE["ca"], verify_challenge_resource=False)


def until(what, is_true):
    end = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.02)


def attribute(path, name):
    return os.getxattr(path, f"user.akv.{name}").decode()


def versions(name):
    return len(list(client.list_properties_of_secret_versions(name)))


def current(name):
    return DIR / "secrets" / name / "current"


def until_free(restore):
    def is_done():
        try:
            restore()
        except (FileExistsError, ResourceExistsError):
            return False
        return True

    until("the name is free", is_done)


def client_to_mount():
    for number, value in enumerate(VALUES):
        secret = client.set_secret("theirs", value, content_type=f"type {number}", tags={"n": str(number)})
        assert current("theirs").read_bytes() == value.encode(), number
        assert (DIR / "secrets/theirs" / secret.properties.version).read_bytes() == value.encode()
        assert current("theirs").stat().st_size == len(value.encode())
        assert attribute(DIR / "secrets/theirs", "content_type") == f"type {number}"
        assert attribute(current("theirs"), "tag.n") == str(number)
        assert attribute(current("theirs"), "version") == secret.properties.version
    client.update_secret_properties("theirs", enabled=False, expires_on=EXPIRES_ON)
    assert attribute(DIR / "secrets/theirs", "state") == "disabled"
    assert attribute(DIR / "secrets/theirs", "expires_on") == "2037-12-31T00:00:00Z"
    try:
        current("theirs").read_bytes()
        raise AssertionError("a disabled secret was read")
    except PermissionError:
        pass
    client.update_secret_properties("theirs", enabled=True)
    blob = client.backup_secret("theirs")
    client.begin_delete_secret("theirs").wait()
    assert not (DIR / "secrets/theirs").exists()
    until("it shows as deleted", lambda: "theirs" in os.listdir(DIR / "deleted"))
    assert attribute(DIR / "deleted/theirs", "state") == "deleted"
    client.begin_recover_deleted_secret("theirs").wait()
    assert current("theirs").read_bytes() == VALUES[-1].encode()
    client.begin_delete_secret("theirs").wait()
    client.purge_deleted_secret("theirs")
    # The client's backup is the mount's. A slow vault refuses it until it has purged.
    until_free(lambda: (DIR / "backups/theirs").write_bytes(blob))
    until("it is restored", lambda: current("theirs").exists() and attribute(DIR / "secrets/theirs", "state") == "live")
    assert client.get_secret("theirs").value == VALUES[-1]
    assert versions("theirs") == len(VALUES)


def mount_to_client():
    (DIR / "secrets/ours").mkdir()
    os.setxattr(DIR / "secrets/ours", "user.akv.tag.team", b"a")
    for number, value in enumerate(VALUES, 1):
        with open(current("ours"), "wb") as file:
            file.write(value.encode())
            file.truncate()  # an empty value has to be meant
        secret = client.get_secret("ours")
        assert secret.value == value, number
        assert secret.properties.tags == {"team": "a"}
        assert versions("ours") == number
    os.setxattr(current("ours"), "user.akv.content_type", b"text/plain")
    os.setxattr(current("ours"), "user.akv.expires_on", b"2037-12-31T00:00:00Z")
    os.setxattr(current("ours"), "user.akv.tag.env", b"test")
    os.removexattr(current("ours"), "user.akv.tag.team")
    properties = client.get_secret("ours").properties
    assert (properties.content_type, properties.expires_on, properties.tags) == ("text/plain", EXPIRES_ON, {"env": "test"})
    os.setxattr(DIR / "secrets/ours", "user.akv.enabled", b"false")
    assert not next(p for p in client.list_properties_of_secrets() if p.name == "ours").enabled
    os.setxattr(DIR / "secrets/ours", "user.akv.enabled", b"true")

    blob = (DIR / "backups/ours").read_bytes()
    shutil.rmtree(DIR / "secrets/ours")
    try:
        client.get_secret("ours")
        raise AssertionError("a deleted secret was read")
    except ResourceNotFoundError:
        pass
    until("it is deleted", lambda: "ours" in [deleted.name for deleted in client.list_deleted_secrets()])
    until("the mount knows", lambda: attribute(DIR / "deleted/ours", "state") == "deleted")
    os.rename(DIR / "deleted/ours", DIR / "secrets/ours")
    until("it is back", lambda: attribute(DIR / "secrets/ours", "state") == "live")
    assert client.get_secret("ours").value == VALUES[-1]
    client.begin_delete_secret("ours").wait()
    client.purge_deleted_secret("ours")
    # The mount's backup is the client's.
    until_free(lambda: client.restore_secret_backup(blob))
    until("it is restored", lambda: current("ours").exists())
    assert current("ours").read_bytes() == VALUES[-1].encode()


def binary():
    every = bytes(range(256)) * 4
    (DIR / "secrets/binary").mkdir()
    current("binary").write_bytes(every)
    secret = client.get_secret("binary")
    assert secret.properties.tags == {"file-encoding": "base64"}
    assert current("binary").read_bytes() == every
    client.set_secret("hex", every.hex(), tags={"file-encoding": "hex"})
    assert current("hex").read_bytes() == every


def conflicts():
    shutil.rmtree(DIR / "secrets/hex")
    until("it is deleted", lambda: attribute(DIR / "deleted/hex", "state") == "deleted")
    for make in [lambda: (DIR / "secrets/hex").mkdir(), lambda: client.set_secret("hex", "x")]:
        try:
            make()
            raise AssertionError("a deleted name was used again")
        except (FileExistsError, HttpResponseError):
            pass


client_to_mount()
mount_to_client()
binary()
conflicts()
assert sorted(os.listdir(DIR / "secrets")) == sorted(p.name for p in client.list_properties_of_secrets())
