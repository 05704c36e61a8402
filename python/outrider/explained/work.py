"""Agents and groups, and the commands themselves."""

from __future__ import annotations

from typing import Final

from outrider.codes import Code
from outrider.explained.entry import Explanation

_COMMAND: Final = "The command has changed nothing."

AGENTS: Final = (
    Explanation(
        Code.RECORDS_REFUSED,
        "Some records are not taken",
        "A name, a group or a column is none that the database keeps.",
        "The good records of the same message are kept; the bad ones are named and put aside.",
        "Correct the agent that the text names; it is sent again as soon as it changes.",
        "agent 7 cannot be kept: its name is longer than 128 characters",
    ),
    Explanation(
        Code.UNKNOWN_AGENTS,
        "Agents that this database does not know",
        "They were removed here, or have not been registered here yet.",
        "The records are left out, without counting as errors.",
        'Nothing, if etc/client.keys is on its way. With the embedded store, agents.unknown = "add" keeps them.',
        "unknown here, so that their labels are not kept: 7, 9",
    ),
    Explanation(
        Code.NO_WAZUH_DB,
        "wazuh-db does not answer",
        "The daemon is not running, is overloaded, or agents.wazuh_db_socket names another place.",
        "Agents wait in the outbox, on disk; files are kept in step as before. It goes on by itself.",
        "Start the daemon; compare agents.wazuh_db_socket with where it listens.",
        "cannot reach wazuh-db at /var/ossec/queue/db/wdb: No such file or directory; is it running?",
    ),
    Explanation(
        Code.STRANGE_WAZUH_DB,
        "wazuh-db answers what it should not",
        "Something else listens at its socket, or it is of another version than 4.x.",
        "The round fails and is tried again; the connection is closed.",
        "`ss -xlp` names the program at agents.wazuh_db_socket.",
        "wazuh-db answered 'hello', which is none of its answers",
    ),
    Explanation(
        Code.LARGER_THAN_AN_ANSWER,
        "One agent is larger than an answer of wazuh-db",
        "Its labels, or the names of its groups, take more than 65,536 bytes together.",
        "The agent is passed over if it can be told which it is; else the round ends here.",
        "Shorten that agent's labels, or its groups' names.",
        "wazuh-db hands out nothing and says that there is more",
    ),
    Explanation(
        Code.IMPORT_LINE,
        "A line of the import is wrong",
        "It is no JSON object, has no id, or names what no agent may have.",
        "The lines before it are imported and stay; importing them again changes nothing.",
        "Correct the line that the text names, and import the file once more.",
        "line 12: Expected int >= 1 - at $.id; imported before it: 11 agents",
    ),
    Explanation(
        Code.NO_SUCH_AGENT,
        "There is no such agent",
        "The number is misspelt, or the agent was removed.",
        _COMMAND,
        "`outrider agents list` names those that there are.",
        "agent 9 is unknown: outrider agents list names those that there are",
    ),
    Explanation(
        Code.AGENT_EXISTS,
        "There is such an agent already",
        "Its number was given before.",
        _COMMAND,
        "Take another number, or `outrider agents remove` the old one first.",
        "there is an agent 9 already: web1",
    ),
    Explanation(
        Code.NO_SUCH_GROUP,
        "There is no such group",
        "The name is misspelt, or the group was removed.",
        "Other groups of the same command are removed.",
        "`outrider groups list` names those that there are.",
        "there is no group wbe: outrider groups list names those that there are",
    ),
    Explanation(
        Code.NO_STORE_YET,
        "This home has no store of agents yet",
        "No node has run on it, and nothing was imported.",
        _COMMAND,
        "Start the node, or `outrider agents import`.",
        "there is no /srv/node/.outrider/agents.db yet: a node or `outrider agents add` makes it",
    ),
    Explanation(
        Code.GROUPS_NOT_WRITTEN,
        "A message of groups cannot be written",
        "It did not arrive, or is not what such a message holds.",
        "The master is told. After intervals.worker.agent_groups_mismatch_limit rounds everything is asked for again.",
        "Nothing, if it ends by itself; else compare the versions of both ends.",
        "error while trying to load JSON: Expecting value: line 1 column 1 (char 0)",
    ),
    Explanation(
        Code.CHUNKS_NOT_KEPT,
        "The master did not keep what was sent of agents",
        "Its database refused or was too slow; its answer says why.",
        "Nothing is lost: everything stays in the outbox until a master confirms it.",
        "The master's log, and `outrider doctor` there.",
        "the master did not keep 3 chunks: database is locked",
    ),
)

COMMANDS: Final = (
    Explanation(
        Code.SYSTEM,
        "The system refused",
        "A file or socket that the command needs cannot be used; the text is the system's own.",
        "Whatever was done before it stands.",
        "Correct the path, its owner or its mode.",
        "[Errno 13] Permission denied: '/srv/node'",
    ),
    Explanation(
        Code.USAGE,
        "The command line is wrong",
        "An option or argument is missing, unknown, or of the wrong form.",
        _COMMAND,
        "`outrider COMMAND --help` shows what it takes.",
        "Error: No such option: --hom Did you mean --home?",
    ),
    Explanation(
        Code.PARTLY_FAILED,
        "Some of what was asked for failed",
        "A call went to several nodes or agents, and not all could serve it.",
        "What succeeded has been written before this line.",
        "Each line has its own reason.",
        "Error 1701 - Resource Not Found: 007",
    ),
    Explanation(
        Code.STOPPED_AT_ONCE,
        "The node was stopped before its tasks had ended",
        "A second signal came while it was stopping in good order.",
        "The process has ended. What it was about to change is finished or undone at the next start.",
        "Nothing. Give it some seconds the next time.",
        "stopped at once, before the node's tasks had ended",
    ),
    Explanation(
        Code.DEMO_NODE,
        "A process of the demo ended by itself",
        "Its last lines, which follow, say why: often a full disk in the folder for temporary files.",
        "The demo ends and removes its folder.",
        "Make room, or set TMPDIR to another folder.",
        "worker1 ended with 1; its last lines:",
    ),
    Explanation(
        Code.NO_SUCH_CODE,
        "There is no such code",
        "It is misspelt, or of a newer Outrider.",
        "Nothing.",
        "`outrider explain` lists all codes.",
        "'OUT-9999' is no code; `outrider explain` lists all",
    ),
    Explanation(
        Code.INTERRUPTED,
        "The command was interrupted",
        "Somebody pressed Ctrl-C, or sent its process SIGINT.",
        "What is so now stands in the same line. A node that was asked goes on with what it has begun.",
        "Give the command again if it was to end; it begins anew.",
        "interrupted: nothing was changed",
    ),
)
