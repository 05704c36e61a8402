"""The numbers of specification 7.2 that answer a hello, or a request of a program."""

from __future__ import annotations

from typing import Final

from outrider.explained.entry import Explanation

_NOT_DONE: Final = "What was asked for is not done; the link goes on."
_FIVE: Final = "A worker of ours tries again every 5 minutes, an old one every 10 s."
_ROUND: Final = "The round fails, nothing is changed, and it is tried again."
_ANSWER: Final = "The caller gets this answer; the cluster goes on."

HELLO: Final = (
    Explanation(
        "3028",
        "A worker of this name is connected",
        "Two workers have one name, or the old connection of this one is not known to be dead yet.",
        "It tries again; a worker that proves who it is takes its old place at once.",
        "Wait for intervals.master.max_allowed_time_without_keepalive, or give each worker its own node.name.",
        "the master refuses this node for now: ... 3028",
    ),
    Explanation(
        "3029",
        "The worker has the master's name",
        "node.name is the same on both.",
        _FIVE,
        "Set another node.name on the worker.",
        "this node has the master's name",
    ),
    Explanation(
        "3030",
        "The cluster has another name",
        "node.cluster differs between the two.",
        _FIVE,
        "Set node.cluster to the same name on all nodes.",
        "this node belongs to another cluster",
    ),
    Explanation(
        "3031",
        "The versions differ",
        "node.wire_version differs between the two.",
        _FIVE,
        "Set node.wire_version to what the master has: with Wazuh, its version.",
        "this node speaks another version",
    ),
)
REQUESTS: Final = (
    Explanation(
        "1000",
        "The other node refuses or has failed",
        "The text behind the number says why, in the other node's words.",
        _NOT_DONE,
        "Do what the text says; the log of the other node has more.",
        "the peer answered with error 1000: this node has no call named 'x'",
    ),
    Explanation(
        "1014",
        "A daemon beside the node cannot be asked",
        "It is not running, or no setting names its socket.",
        _ANSWER,
        "Start the daemon, or name its socket in [sendsync] of the master.",
        "Error 1014 - Error communicating with socket",
    ),
    Explanation(
        "1017",
        "Daemons of the node are not ready",
        "They are starting or have ended.",
        _ANSWER,
        "Wait, or start them.",
        "Error 1017 - Some daemons of this node are not ready",
    ),
    Explanation(
        "1119",
        "A temporary folder cannot be used",
        "An old node cannot write where it unpacks.",
        _ROUND,
        "Owner, mode and room of that node's folder for temporary files.",
        "Error 1119",
    ),
    Explanation(
        "1724",
        "No such field can be selected",
        "The request names a field that the answer does not have.",
        _ANSWER,
        "The text lists the fields.",
        "Error 1724 - Not a field that can be selected: 'nmae'",
    ),
    Explanation(
        "1728",
        "No such type of node",
        "The request filters by something else than all, worker or master.",
        _ANSWER,
        "Use one of the three.",
        "Error 1728 - Not a type of node: 'boss'",
    ),
    Explanation(
        "1730",
        "No such node",
        "The request names a node that is not in the cluster now.",
        _ANSWER,
        "`outrider nodes` lists who is.",
        "Error 1730 - No such node: w9",
    ),
    Explanation(
        "2003",
        "wazuh-db: a request is wrong",
        "An old node and its database do not agree.",
        _ROUND,
        "The log of that node's wazuh-db.",
        "Error 2003",
    ),
    Explanation(
        "2005", "wazuh-db cannot be reached", "It is not running at that node.", _ROUND, "Start it there.", "Error 2005"
    ),
    Explanation(
        "2007",
        "wazuh-db cannot be read",
        "It ended in the middle of an answer.",
        _ROUND,
        "Its log, at that node.",
        "Error 2007",
    ),
    Explanation(
        "2009",
        "wazuh-db: an answer is too large",
        "One record is larger than its 65,536 bytes.",
        _ROUND,
        "Shorten the labels of the agent.",
        "Error 2009",
    ),
    Explanation(
        "2010",
        "wazuh-db closed the connection",
        "It was stopped or has failed.",
        _ROUND,
        "Start it there.",
        "Error 2010",
    ),
    Explanation(
        "4000",
        "Permission denied",
        "The caller may not do this here: [grants], local.send_folder or "
        "sendsync.wazuh_db_commands of the node that was asked says so.",
        _ANSWER,
        "If it is meant, the text names the setting, at the node that was asked.",
        "Error 4000 - Permission denied: the call x is not granted",
    ),
)
