"""What editors and replacers leave to other clients: `editors.py WHERE DIR`. After each, Microsoft's client finds
one version more, no other secret, and nothing deleted.

WHERE is the line that `akvfs emulator` prints; DIR is a writable mount of it.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from azure.core.credentials import AccessToken
from azure.keyvault.secrets import SecretClient

WHERE, DIR = json.loads(sys.argv[1]), Path(sys.argv[2])
OLD, NEW = "first\nsecond\n", "first\nthird\n"
VIM = "TERM=xterm script -qec \"vim -u NONE -N -c '%s' -c '%%s/second/third/' -c 'wq' current\" /dev/null > /dev/null"
LINES = [
    "sed -i s/second/third/ current",
    "perl -pi -e s/second/third/ current",
    "sed s/second/third/ current > $TMPDIR/current && install -m 600 $TMPDIR/current current",
    "sed s/second/third/ current > $TMPDIR/current && rsync -a $TMPDIR/current ./",
    "sed s/second/third/ current > $TMPDIR/current && cp -a $TMPDIR/current current",
    "sed s/second/third/ current > $TMPDIR/current && tar cf $TMPDIR/t -C $TMPDIR current && tar xf $TMPDIR/t",
    "python3 -c \"import os; f = open('.new', 'w'); f.write('first\\nthird\\n'); f.close(); os.replace('.new', 'current')\"",
    VIM % "set swapfile backup writebackup undofile undodir=. backupdir=. directory=.",
    VIM % "set backupcopy=no writebackup backupdir=.",
    "HOME=$TMPDIR emacs --batch -Q --eval '(progn (find-file \"current\") (goto-char (point-min))"
    " (search-forward \"second\") (replace-match \"third\") (save-buffer))' 2> $TMPDIR/err",
]
# ^K cuts the first line, ^X leaves, y and Enter save; each key once nano has asked for it.
NANO = r"""python3 -c "
import os, pty
child, terminal = pty.fork()
if child == 0:
    os.environ['TERM'] = 'xterm'
    os.execvp('nano', ['nano', 'current'])
seen = b''
for prompt, keys in [(b'Read', b'\x0b\x18'), (b'Save modified', b'y'), (b'File Name', b'\r')]:
    while prompt not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, keys)
try:
    while os.read(terminal, 4096): pass
except OSError:
    pass # the terminal is closed
os.waitpid(child, 0)" """


class Credential:
    def get_token(self, *_scopes, **_options):
        with open(WHERE["token_file"], encoding="ascii") as file:
            return AccessToken(file.read(), int(time.time()) + 3600)


client = SecretClient(WHERE["url"], Credential(), connection_verify=WHERE["ca"], verify_challenge_resource=False)

for number, line in enumerate([*LINES, NANO]):
    name = f"s{number}"
    client.set_secret(name, OLD)
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"TMPDIR": scratch, "PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(["bash", "-c", line], cwd=DIR / "secrets" / name, env=environment, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, line
    assert client.get_secret(name).value == ("second\n" if line == NANO else NEW), line
    assert len(list(client.list_properties_of_secret_versions(name))) == 2, line

assert sorted(p.name for p in client.list_properties_of_secrets()) == sorted(f"s{n}" for n in range(len(LINES) + 1))
assert list(client.list_deleted_secrets()) == []
