"""Every command of the wire, once (specification 2). The only place for its abbreviations.

A command is a name, a direction and a word on what it is for. Which of them a session serves is decided by its
owner and by the kinds of synchronisation; the rest get the protocol's answer for unknown commands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Final


class To(Flag):
    """Who may receive a command as a request."""

    MASTER = auto()
    WORKER = auto()
    LOCAL_SERVER = auto()
    LOCAL_CLIENT = auto()
    NODE = MASTER | WORKER
    ANY = NODE | LOCAL_SERVER | LOCAL_CLIENT


@dataclass(frozen=True, slots=True, eq=False)  # a row is itself and no other: looked up with every frame
class Command:
    """One row: wire name, receivers, purpose. ``before_hello`` commands are served to a peer without a name."""

    name: bytes
    to: To
    purpose: str
    before_hello: bool = False

    def __str__(self) -> str:
        """The wire name as text."""
        return self.name.decode()


def by_name(commands: Iterable[Command]) -> dict[bytes, Command]:
    """Commands under their wire names."""
    return {command.name: command for command in commands}


# 2.1: both directions
ECHO: Final = Command(b"echo", To.ANY, "the same bytes back", before_hello=True)
NEW_FILE: Final = Command(b"new_file", To.ANY, "begin a file")
FILE_UPD: Final = Command(b"file_upd", To.ANY, "a part of a file")
FILE_END: Final = Command(b"file_end", To.ANY, "end a file, with its SHA-256")
NEW_STR: Final = Command(b"new_str", To.ANY, "begin a string")
STR_UPD: Final = Command(b"str_upd", To.ANY, "a part of a string")
ERR_STR: Final = Command(b"err_str", To.ANY, "drop a string whose answer was lost")
CANCEL_TASK: Final = Command(b"cancel_task", To.NODE, "stop sending for a task")
DAPI_ERR: Final = Command(b"dapi_err", To.NODE | To.LOCAL_CLIENT, "an API request failed")

# 2.2: to the master
HELLO: Final = Command(b"hello", To.MASTER | To.LOCAL_SERVER, "name, cluster, type, version", before_hello=True)
KEEP_ALIVE: Final = Command(b"echo-c", To.MASTER | To.LOCAL_SERVER, "the only sign of life that counts")
INTEGRITY_PERMISSION: Final = Command(b"syn_i_w_m_p", To.MASTER, "may a check begin?")
AGENT_INFO_PERMISSION: Final = Command(b"syn_a_w_m_p", To.MASTER, "is agent info free?")
INTEGRITY_CHECK: Final = Command(b"syn_i_w_m", To.MASTER, "a worker's metadata comes")
INTEGRITY_CHECK_END: Final = Command(b"syn_i_w_m_e", To.MASTER, "it has come")
INTEGRITY_CHECK_ERROR: Final = Command(b"syn_i_w_m_r", To.MASTER, "it does not come, or a sync failed at the worker")
EXTRA_VALID: Final = Command(b"syn_e_w_m", To.MASTER, "extra-valid files come; never sent by 4.9.2 (5.6)")
EXTRA_VALID_END: Final = Command(b"syn_e_w_m_e", To.MASTER, "they have come")
AGENT_INFO: Final = Command(b"syn_a_w_m", To.MASTER, "agent information lies in a string")
FULL_GROUPS_REQUEST: Final = Command(b"syn_w_g_c", To.MASTER, "send all agent groups")
GROUPS_RESULT: Final = Command(b"syn_w_g_e", To.MASTER, "periodic agent groups were written")
FULL_GROUPS_RESULT: Final = Command(b"syn_wgc_e", To.MASTER, "all agent groups were written")
GROUPS_ERROR: Final = Command(b"syn_w_g_err", To.MASTER, "periodic agent groups were not written")
FULL_GROUPS_ERROR: Final = Command(b"syn_wgc_err", To.MASTER, "all agent groups were not written")
GET_NODES: Final = Command(b"get_nodes", To.MASTER | To.LOCAL_SERVER, "who is connected?")
GET_HEALTH: Final = Command(b"get_health", To.MASTER | To.LOCAL_SERVER, "who is in step?")

# 2.3: to a worker
IN_STEP: Final = Command(b"syn_m_c_ok", To.WORKER, "the check found nothing")
INTEGRITY_SYNC: Final = Command(b"syn_m_c", To.WORKER, "files come")
INTEGRITY_SYNC_END: Final = Command(b"syn_m_c_e", To.WORKER, "they have come")
INTEGRITY_SYNC_ERROR: Final = Command(b"syn_m_c_r", To.WORKER, "they do not come")
GROUPS: Final = Command(b"syn_g_m_w", To.WORKER, "periodic agent groups lie in a string")
FULL_GROUPS: Final = Command(b"syn_g_m_w_c", To.WORKER, "all agent groups lie in a string")
AGENT_INFO_RESULT: Final = Command(b"syn_m_a_e", To.WORKER, "agent information was written")
AGENT_INFO_ERROR: Final = Command(b"syn_m_a_err", To.WORKER, "agent information was not written")
SENDSYNC_RESULT: Final = Command(b"sendsyn_res", To.WORKER, "a daemon's answer lies in a string")
SENDSYNC_ERROR: Final = Command(b"sendsyn_err", To.WORKER, "a daemon did not answer")
ECHO_MASTER: Final = Command(b"echo-m", To.WORKER, "the same bytes back, as ok-c")

# 2.2 to 2.4: API requests
DAPI: Final = Command(b"dapi", To.NODE | To.LOCAL_SERVER, "an API request")
DAPI_RESULT: Final = Command(b"dapi_res", To.NODE | To.LOCAL_CLIENT, "its result lies in a string")
SENDSYNC: Final = Command(b"sendsync", To.MASTER | To.LOCAL_SERVER, "a request to a daemon of the master")

# 7.4: what only nodes of our own know
PROBE: Final = Command(b"outrider", To.MASTER, "what I can do beyond 4.9.2; what can you?")
START_TLS: Final = Command(b"start_tls", To.MASTER, "the last words in clear: TLS follows the answer")

CA_SHOW: Final = Command(b"ca_show", To.MASTER, "whom the cluster trusts, for one who wants to join", before_hello=True)
CA_JOIN: Final = Command(b"ca_join", To.MASTER, "a token and a request for a certificate", before_hello=True)

# 2.4: the local socket alone
GET_CONFIG: Final = Command(b"get_config", To.LOCAL_SERVER, "the node's configuration, without the key")
GET_HASH: Final = Command(b"get_hash", To.LOCAL_SERVER, "hashes of rules, decoders and lists")
SEND_FILE: Final = Command(b"send_file", To.LOCAL_SERVER, "send a file to a node")
DAPI_FORWARD: Final = Command(b"dapi_fwd", To.LOCAL_SERVER, "an API request for one worker")
SENDASYNC: Final = Command(b"sendasync", To.LOCAL_SERVER, "sendsync, answered at once")
SEND_FILE_RESULT: Final = Command(b"send_f_res", To.LOCAL_CLIENT, "how many bytes were sent, or why none")
CONTROL_RESULT: Final = Command(b"control_res", To.LOCAL_CLIENT, "result of get_nodes or get_health")

# between two of our own nodes, over an extended link only
GEN_CHECK: Final = Command(b"gen_check", To.MASTER, "the root at which a worker stands")
GEN_HAVE: Final = Command(b"gen_have", To.MASTER, "what a worker holds whose root the master does not know")
GEN_SIGS: Final = Command(b"gen_sigs", To.MASTER, "chunk signatures of its large files that differ")
GEN_READ: Final = Command(b"gen_read", To.MASTER, "the next part of a bundle")
GEN_DONE: Final = Command(b"gen_done", To.MASTER, "a worker stands at a generation now, or says why not")
CA_RENEW: Final = Command(b"ca_renew", To.MASTER, "the next certificate for a worker that has a good one")
CA_TRUST: Final = Command(b"ca_trust", To.WORKER, "whom the cluster trusts from now on")
GEN_NEW: Final = Command(b"gen_new", To.WORKER, "there is a new generation")
KEY_STANDS: Final = Command(b"key_stands", To.MASTER, "which cluster keys a worker holds; what to do with them")
KEY_NEWS: Final = Command(b"key_news", To.WORKER, "there is something to do with the cluster key: ask")

TABLE: Final = by_name(value for value in list(globals().values()) if isinstance(value, Command))
"""What the protocol has names for; a kind of synchronisation that a package brings adds others."""

OK: Final = b"ok"
ERR: Final = b"err"
OK_NEW_FILE: Final = b"ok "
"""4.9.2 answers ``new_file`` with a space inside the name (1.1)."""
OK_KEEP_ALIVE: Final = b"ok-m "
OK_ECHO_MASTER: Final = b"ok-c"
RESPONSES: Final = frozenset({b"ok", b"err", b"ok-m", b"ok-c"})
"""Response names as received. With an unknown counter they are dropped, or two old nodes shout for ever (1.2)."""
