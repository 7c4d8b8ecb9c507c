"""Signs in by azure-identity and uses the vault: `sign_in.py METHOD WHERE`.

WHERE is the line that `akvfs emulator --sign-in METHOD` prints.
"""

import json
import os
import sys

from azure.identity import ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient

METHOD, WHERE = sys.argv[1], json.loads(sys.argv[2])


def content(key):
    with open(WHERE[key], encoding="ascii") as file:
        return file.read()


def of_application():
    """The authority is not one of Microsoft's, so they are not asked about it."""
    where = {"authority": WHERE["authority"], "connection_verify": WHERE["ca"]}
    return {"tenant_id": WHERE["tenant_id"], "client_id": WHERE["client_id"], "disable_instance_discovery": True, **where}


def credential():
    if METHOD == "client-secret":
        return ClientSecretCredential(client_secret=content("client_secret_file"), **of_application())
    if METHOD == "workload-identity":
        return WorkloadIdentityCredential(token_file_path=WHERE["federated_token_file"], **of_application())
    if METHOD == "app-service":
        os.environ["IDENTITY_ENDPOINT"] = WHERE["identity_endpoint"]
        os.environ["IDENTITY_HEADER"] = content("identity_header_file")
    else:
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = WHERE["imds"]
    return ManagedIdentityCredential(client_id=WHERE["client_id"])


vault = SecretClient(WHERE["url"], credential(), connection_verify=WHERE["ca"], verify_challenge_resource=False)
vault.set_secret("signed-in", METHOD)
assert vault.get_secret("signed-in").value == METHOD
