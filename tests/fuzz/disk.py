"""The parsers of what lies on the disk: settings, keys and tables of a person, and this node's own files, damaged."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.wire import TRUST, Parser, refusing
from tests.support.sqlite_store import open_store

from outrider.cli.agent_lines import read_line
from outrider.errors import SettingsError, StoreError
from outrider.protocol.certificates import Trust
from outrider.settings import Settings
from outrider.settings.key_file import read_key_file
from outrider.store import ledger
from outrider.store.agents import GroupsQuery
from outrider.store.authority import KEY, Authority
from outrider.store.client_keys import parse
from outrider.store.identity import identity_of
from outrider.store.outbox import FILE, Outbox
from outrider.store.peers import Peers
from outrider.store.rotation import read_rotation
from outrider.store.standing import Standing
from outrider.wazuh.cluster_json import read_cluster_json
from outrider.wazuh.ossec_conf import read_ossec_conf
from outrider.world import ThreadPool

_HOME = Path(tempfile.mkdtemp(prefix="outrider-fuzz-"))
_OWN = _HOME / ".outrider"
(_OWN / "identity").mkdir(parents=True)
(_OWN / "ca").mkdir()
(_OWN / "ca/trust.pem").write_text(TRUST.text)
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
_THREADS = ThreadPool()
_SEED = bytes(range(32))


def _at(path: Path, data: bytes) -> Path:
    """``data`` as the file at ``path``, with what makes it count."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def settings(data: bytes) -> None:
    """A settings file is settings, or an error with a text for each fault."""
    try:
        Settings.load(_at(_HOME / "outrider.toml", data), {})
    except SettingsError as error:
        assert str(error)  # noqa: PT017  (that it is raised is allowed, not demanded)


def key_file(data: bytes) -> None:
    """A key file holds keys, or says why not and repeats none of it."""
    try:
        read_key_file(_at(_HOME / "cluster.key", data))
    except ValueError as error:
        told = [word for word in data.split() if len(word) > 11 and word.decode(errors="replace") in str(error)]
        assert not told


def client_keys(data: bytes) -> None:
    """Whatever the lines are: agents, and the numbers of the others."""
    assert all(agent.id > 0 for agent in parse(data.splitlines(keepends=True)).agents)


def peers(data: bytes) -> None:
    """Who was seen extended."""
    _at(_OWN / "peers.json", data)
    Peers(_HOME).all()


def standing(data: bytes) -> None:
    """What a worker has taken: read, or told as damaged."""
    _at(_OWN / "standing.json", data)
    file = Standing(_HOME, _THREADS)
    file._read()


def rotation(data: bytes) -> None:
    """How far the rotation of the key has come."""
    _at(_OWN / "rotation.json", data)
    read_rotation(_HOME)


def authority(data: bytes) -> None:
    """Ledger and keys of the cluster's authority; the first byte says which."""
    if data[:1] == b"k":
        _at(_OWN / "ca" / KEY, data[1:])
        Authority(_OWN / "ca", Random(1)).check_keys()
    else:
        _at(_OWN / "ca" / ledger.FILE, data[1:])
        ledger.read(_OWN / "ca")


def identity(data: bytes) -> None:
    """The node's own certificate and key."""
    _at(_OWN / "identity/node.pem", data)
    identity_of(_HOME, _SEED)


def trust(data: bytes) -> None:
    """Whom the cluster trusts."""
    Trust(data.decode())


def outbox(data: bytes) -> None:
    """The outbox's database: it holds chunks, or it is set aside and everything is sent again."""
    for kind in ("", "-wal", "-shm", ".damaged"):
        (_HOME / f"{FILE}{kind}").unlink(missing_ok=True)
    _at(_HOME / FILE, data)

    async def use() -> None:
        box = Outbox(_HOME, _THREADS)
        try:
            box.open()
            await box.put([b"[1]"])
            await box.oldest(10)
            await box.aside()
        finally:
            box.close(orderly=True)

    asyncio.run(use())


def agents_db(data: bytes) -> None:
    """The database of agents: it is one, or an error says that it is damaged."""
    for kind in ("", "-wal", "-shm"):
        (_OWN / f"agents.db{kind}").unlink(missing_ok=True)
    _at(_OWN / "agents.db", data)

    async def use() -> Any:
        store = open_store(_HOME)
        try:
            await store.agents()
            return await store.groups(GroupsQuery(condition="all", with_hash=True))
        finally:
            await store.close()

    asyncio.run(use())


_DAMAGED = refusing(StoreError)

TARGETS: dict[str, Parser] = {
    "agent_line": refusing(ValueError)(read_line),
    "agents_db": _DAMAGED(agents_db),
    "authority": _DAMAGED(authority),
    "client_keys": client_keys,
    "cluster_json": refusing(ValueError)(read_cluster_json),
    "identity": _DAMAGED(identity),
    "key_file": key_file,
    "ossec_conf": refusing(ValueError)(read_ossec_conf),
    "outbox": _DAMAGED(outbox),
    "peers": _DAMAGED(peers),
    "rotation_file": _DAMAGED(rotation),
    "settings": settings,
    "standing": standing,
    "trust": refusing(ValueError)(trust),
}
