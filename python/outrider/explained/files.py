"""The tree, its generations, and the disk and databases below them."""

from __future__ import annotations

from typing import Final

from outrider.codes import Code
from outrider.explained.entry import Explanation

_ROUND: Final = "The round fails as a whole, nothing is changed, and it is tried again."
_WAITS: Final = "The tree stays as it is, and the node asks again; everything else goes on."
_COMMAND: Final = "The command has changed nothing."

TREE: Final = (
    Explanation(
        Code.NOT_APPLIED,
        "A synchronisation failed as a whole",
        "What came from the master could not be applied; the text has the reason.",
        _ROUND,
        "The reason names its own remedy. `outrider status` counts failures and shows the last.",
        "not applied: what the master sent met a defect of this node",
    ),
    Explanation(
        Code.TREE_IN_THE_WAY,
        "Something on the disk stands in the way",
        "A folder stands where a file is to be, a file where a folder is, or a mounted folder is to go.",
        _ROUND,
        "Move away what the text names; the next round takes it from there.",
        "etc/shared/web: a file stands where a folder is to be; nothing was changed",
    ),
    Explanation(
        Code.TREE_DRIFTED,
        "A file is not what this node last saw there",
        "Somebody edited the tree while a step was applied to it.",
        _ROUND + " The tree is looked at anew first.",
        "Nothing. Edit files on the master: what is edited on a worker is put back.",
        "etc/rules/local.xml is not what this node last saw there; nothing was changed",
    ),
    Explanation(
        Code.MASTER_CANNOT_SEND,
        "The master cannot send its files",
        "It met an error while it packed them, and told this worker.",
        _ROUND,
        "The master's log of the same moment.",
        "the master cannot send files: Error 3001 - ...",
    ),
    Explanation(
        Code.NO_FOLDER,
        "There is no such home",
        "The command was given a path that is no folder.",
        _COMMAND,
        "Name the home of a node, e.g. --home /var/ossec.",
        "/var/osec is no folder: name the home of a node, e.g. outrider scan /var/ossec",
    ),
)

GENERATIONS: Final = (
    Explanation(
        Code.HELD_BACK,
        "A step would delete too much",
        "More files than generations.delete_share and delete_count allow would go: was a folder not mounted?",
        _WAITS,
        "Mount it. If the deletion is meant: `outrider approve`, on the worker for one, on the master for all.",
        "the step would delete 4120 of 4200 files here; it waits for: outrider approve",
    ),
    Explanation(
        Code.OLDER_GENERATION,
        "The master offers an older generation",
        "Its folder was restored from a backup, or an older copy of it answers.",
        _WAITS,
        "If that is meant: `outrider peer forget NAME` on the worker, and it takes what the master has.",
        "the master offers generation 7, this node has taken 9: an older state of it answers",
    ),
    Explanation(
        Code.OTHER_GENERATION,
        "The master offers another tree under a known number",
        "Two masters have counted on from the same state, such as after a copy of .outrider.",
        _WAITS,
        "Find the second one, stop it, and look at .outrider/generations of the one that is meant.",
        "the master offers another generation 9 than before; look at its .outrider folder",
    ),
    Explanation(
        Code.QUARANTINED,
        "This generation is not taken here",
        "generations.check_command refused its tree, or somebody rolled back from it.",
        "The tree from before it stands. The next generation is tried, whatever it holds.",
        "Mend the files on the master: that makes the next generation.",
        "generation 12 is quarantined here, 3 changes taken back: nginx -t ended with 1",
    ),
    Explanation(
        Code.GENERATION_NOT_KEPT,
        "This generation is not kept any more",
        "It is older than generations.keep and keep_bytes allow.",
        _COMMAND,
        "`outrider generations list` shows which there are; keep more of them from now on.",
        "generation 3 is not kept whole any more",
    ),
    Explanation(
        Code.NO_GENERATION,
        "There is no generation to compare with",
        "No node has run on this home yet, or its master is no Outrider.",
        _COMMAND,
        "Start the node once. `outrider scan` says what lies there in any case.",
        "/srv/node has no generation to compare its tree with",
    ),
)

STORE: Final = (
    Explanation(
        Code.STORE,
        "The disk or the database of this machine refused",
        "The system said why, in the text's last words.",
        "What needed it fails whole and is tried again; the node goes on.",
        "Do what the text names. `outrider doctor` looks at disk, home and databases.",
        "cannot read /var/ossec/.outrider/peers.json: Too many open files",
    ),
    Explanation(
        Code.DISK_FULL,
        "The disk, or a quota, is full",
        "There was no room for what was to be written.",
        "Nothing is changed by halves. As soon as there is room it goes on by itself.",
        "Make room on the file system of the path; generations.keep_bytes and tree.keep_previous take some of it.",
        "cannot write /var/ossec/.outrider/stage/1/a: No space left on device",
    ),
    Explanation(
        Code.FORBIDDEN,
        "The system does not let this node do that",
        "Owner or mode of the path are another user's, or its file system is read-only.",
        "It is tried again every 5 minutes, and at once when the file changes.",
        "Give the path to the node's user, or mount its file system for writing again.",
        "cannot open /var/ossec/etc/rules/a.xml: Permission denied",
    ),
    Explanation(
        Code.FILE_MISSING,
        "A file is not there",
        "Somebody removed it, or the folder above it was never made.",
        "It is tried again, and at once when the file appears.",
        "Put it back; the text names the path.",
        "cannot open /var/ossec/etc/client.keys: No such file or directory",
    ),
    Explanation(
        Code.DISK_FAILS,
        "The disk fails",
        "The device below the path answers with errors.",
        "Nothing is changed by halves; it is tried again.",
        "`dmesg` and the device's own report. Replace it; a new worker gets everything from its master.",
        "cannot read /var/ossec/etc/rules/a.xml: Input/output error",
    ),
    Explanation(
        Code.DAMAGED,
        "A file of this node is damaged",
        "It is not what was written there: the disk, or somebody who edited it.",
        "What needs it rests; everything else goes on.",
        "The text says what becomes of it when it is moved away, or where a backup belongs.",
        "/var/ossec/.outrider/peers.json is damaged: remove it, and every peer is a new one",
    ),
    Explanation(
        Code.BUSY,
        "The database cannot be used right now",
        "Another program holds it locked, it is slower than agents.database_timeout, or the node is stopping.",
        "It is tried again, and at once when the lock is free. Nothing is lost.",
        "Find who holds it: `fuser` names the processes that have the file open.",
        "/var/ossec/.outrider/agents.db: database is locked",
    ),
    Explanation(
        Code.FOREIGN_DATABASE,
        "The database is of something else, or of a newer Outrider",
        "The file was put there by another program, or this machine was put back to an older version.",
        "The node keeps no agents; files are kept in step as before.",
        "Run the Outrider that wrote it, or move the file away, and an empty one is made.",
        "it has version 9, and this Outrider knows versions up to 3: use the Outrider that wrote it, or a newer one",
    ),
    Explanation(
        Code.NOT_RUNNING,
        "This node does not run",
        "A host asked a node that it has not started, or has stopped.",
        "Nothing.",
        "Ask between the start of the node's run and its end.",
        "this node does not run, so that it takes no requests",
    ),
    Explanation(
        Code.STORE_OF_A_PACKAGE,
        "The store of a package cannot be made",
        "Its code failed, or what it made lacks a method that a store has.",
        "The node does not start.",
        "The text is the package's own; `outrider plugins list` names it.",
        "agents.store = 'memory': the store cannot be made: no such table",
    ),
    Explanation(
        Code.FOLDER_HELD,
        "Another program holds a folder",
        "A command of ours was stopped in the middle (Ctrl-Z), or another program has locked the folder.",
        "The node waits 10 s, then goes on without writing there; what must be written is tried again.",
        "`lslocks` and `fuser -v` on the folder name who holds it: let it go on, or end it.",
        "another program has held /var/ossec/.outrider/ca locked for 10 s",
    ),
)
