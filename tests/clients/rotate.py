"""`rotate.py WHERE NAME VALUE`: a new version, by Microsoft's client. WHERE is the line that `akvfs emulator` prints."""

import json
import sys
import time

from azure.core.credentials import AccessToken
from azure.keyvault.secrets import SecretClient

WHERE, NAME, VALUE = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]


class Credential:
    def get_token(self, *_scopes, **_options):
        with open(WHERE["token_file"], encoding="ascii") as file:
            return AccessToken(file.read(), int(time.time()) + 3600)


client = SecretClient(WHERE["url"], Credential(), connection_verify=WHERE["ca"], verify_challenge_resource=False)
client.set_secret(NAME, VALUE)
