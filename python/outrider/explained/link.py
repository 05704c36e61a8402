"""The network, what a peer does wrong, and who it is."""

from __future__ import annotations

from typing import Final

from outrider.codes import Code
from outrider.explained.entry import Explanation

_AGAIN: Final = (
    "A worker tries again, ever more slowly up to intervals.worker.connection_retry; its tree stays as it is."
)
_ROUND: Final = "The round fails as a whole, nothing is changed, and it is tried again."
_CLOSED: Final = "The link is closed with this one reason; the other end may connect again. All other links go on."
_REFUSED: Final = "It is refused, nothing of it is kept, and the link goes on."
_COMMAND: Final = "The command has changed nothing."

LINK: Final = (
    Explanation(
        Code.NETWORK,
        "The other end cannot be reached",
        "Nobody listens there, the name does not resolve, or there is no route.",
        _AGAIN,
        "Start the master; compare link.nodes and link.port with the line `listening on` of its log.",
        "cannot reach the master at 192.0.2.10:1516: Connection refused",
    ),
    Explanation(
        Code.NO_ANSWER,
        "Nobody answers to a connection",
        "The address is wrong, or something between the two swallows packets.",
        _AGAIN,
        "Open the TCP port of link.port in the firewalls between the two.",
        "cannot reach the master at 192.0.2.10:1516: no answer within 20 s",
    ),
    Explanation(
        Code.REQUEST_TIMEOUT,
        "No answer within the time",
        "The other end is busy, hangs, or the line is slower than its deadlines.",
        "What waited for the answer fails and is tried again. Two keep-alives without an answer end a link.",
        "`outrider doctor` at the other end; a slow line asks for a longer timeout_cluster_request.",
        "the peer did not answer in time",
    ),
    Explanation(
        Code.LINK_LOST,
        "The link is gone",
        "The other end stopped, restarted, or closed it for a reason that its log has; or the network broke.",
        _AGAIN,
        "Nothing, if it comes back. If it does not, the log of the other end.",
        "disconnected: the peer closed the connection",
    ),
    Explanation(
        Code.NO_HELLO,
        "The master does not answer to hello",
        "It is overloaded, or it has turned this node away and says why in its own log.",
        _AGAIN,
        "Look for this node's address in the master's log.",
        "no answer to hello: the link is closed; the master's log says why",
    ),
    Explanation(
        Code.TLS,
        "TLS cannot be made",
        "One end has no certificate that the other takes, has another TLS, or something in between interferes.",
        _AGAIN,
        "`outrider doctor` on both; the log of the other end says what it objects to (docs/link.md).",
        "the master ended the link as TLS began; the master's log says why",
    ),
    Explanation(
        Code.LOCAL_SOCKET,
        "The local socket cannot be made",
        "Another program listens there, the path is too long for a socket, or a plain file has its name.",
        "The node runs, and no command can ask it. It tries again.",
        "Move away what is there, or set another local.socket.",
        "another program listens at /var/ossec/queue/cluster/c-internal.sock: stop it, or set another local.socket",
    ),
    Explanation(
        Code.NO_NODE,
        "No node runs that could be asked",
        "Nobody answers at the local socket of this home: none was started, or it has another home.",
        _COMMAND,
        "Start `outrider worker` or `outrider master`, or name its home with --home or --config.",
        "no node answers at /var/ossec/queue/cluster/c-internal.sock: No such file or directory",
    ),
    Explanation(
        Code.CONTAINER_CANCELLED,
        "The worker gave up a container",
        "It took longer than intervals.communication.timeout_receiving_file to arrive.",
        "The next container is smaller, down to intervals.communication.min_zip_size.",
        "Nothing, if it ends by itself. A slow line asks for a longer timeout_receiving_file.",
        "the worker cancelled after 104857600 bytes; the next container is smaller",
    ),
    Explanation(
        Code.NOTHING_TAKEN,
        "The other end takes nothing of what is sent",
        "It is stopped, swapped out, or reads more slowly than it is sent to.",
        "The transfer ends; the link is given up if its keep-alives fail as well.",
        "Look at the machine of the other end: processor, memory, disk.",
        "the peer took nothing of what was sent for 120 s",
    ),
)

PEER: Final = (
    Explanation(
        Code.PEER,
        "What the other end sent is wrong",
        "A defect of the other end, or of what lies between the two.",
        _REFUSED,
        "Compare the versions of both; with Wazuh at the other end, its cluster.log of the same second.",
        "the master offers a step from another root than the one that was named",
    ),
    Explanation(
        Code.PROTOCOL_BROKEN,
        "The other end broke the protocol",
        "It is something else than a node of a cluster, or a node with a defect.",
        _CLOSED,
        "Look at who has the address. A port scanner is harmless; a node that does it again and again is a defect.",
        "something came before TLS, and this node takes nothing but that (link.tls = required)",
    ),
    Explanation(
        Code.NOT_EXTENDED,
        "The other end speaks the base protocol only",
        "link.require or link.tls demands more than it can.",
        "No link is made; a worker tries again every 5 minutes.",
        "Run Outrider there, or set link.require = any here.",
        "the master at 192.0.2.10:1516 must speak the extended protocol (link.require), and does not",
    ),
    Explanation(
        Code.PEER_LIMIT,
        "A limit was reached",
        "The other end sends more than a setting allows: by a defect, on purpose, or since the cluster has grown.",
        "What goes beyond is refused or the link closed, and counted under the limit's key in `outrider status`.",
        "If the size is meant, raise the key that the text names, at this node.",
        "a frame declares 67108864 bytes; the limit here is 16777216",
    ),
    Explanation(
        Code.PATH_REFUSED,
        "A path that could lead out of the tree",
        "The other end names a file that no system would write below the home, such as ../x.",
        _REFUSED,
        "On purpose, or by a defect: look at who has joined. A file with an odd name on the master must be renamed.",
        'the path "../etc/passwd" is refused: it holds a ".." component',
    ),
    Explanation(
        Code.UNREADABLE_DATA,
        "What came cannot be read",
        "It was cut short or changed on its way, or is not what its sender says.",
        _ROUND,
        "Nothing, if it ends by itself; else compare the versions of both ends.",
        "the container cannot be read: its list of files is cut short",
    ),
    Explanation(
        Code.HASH_MISMATCH,
        "The content of a file is not what its entry promises",
        "It changed while the master packed it, or on its way.",
        _ROUND,
        "Nothing, if the next round is good. A file that changes without a pause cannot be kept in step.",
        "the content of etc/rules/local.xml does not match the hash in its entry; nothing was changed",
    ),
    Explanation(
        Code.PEER_GAVE_UP,
        "The other end gave up sending",
        "It says why in its own words: a file that is gone, a full disk, a restart.",
        _ROUND,
        "The log of the other end.",
        "the peer gave up sending: Error 3034 - The file to send was not found",
    ),
    Explanation(
        Code.FILE_LATE,
        "The file did not come in time",
        "It took longer than intervals.communication.timeout_receiving_file.",
        _ROUND + " The master sends less at once.",
        "A slow line asks for a longer timeout_receiving_file on both ends.",
        "the master's file did not come in time",
    ),
    Explanation(
        Code.REFUSED,
        "The other end refuses, for a reason of its own",
        "It answered with a number that is none of the cluster's; its text says more.",
        "What was asked for is not done.",
        "Look the number up in the documentation of the other end.",
        "the peer answered with error 1701: Agent does not exist",
    ),
)

IDENTITY: Final = (
    Explanation(
        Code.NO_CERTIFICATE,
        "This node has no certificate of the cluster's authority",
        "link.tls = required is set, and no certificate was issued to this home.",
        "The node does not start.",
        "`outrider ca token NAME` at the authority, `outrider join TOKEN` here; at a master `outrider ca init`.",
        "link.tls = required: this node has no certificate of an authority",
    ),
    Explanation(
        Code.CERTIFICATE_OF_ANOTHER,
        "The certificate of this home names another node",
        "node.name was changed, or the home was copied from another node.",
        "The node does not start.",
        "Set node.name to what the certificate says, or join once more under the new name.",
        "node.name: this node is the worker w2, its certificate is of the worker w1",
    ),
    Explanation(
        Code.IDENTITY_FILE,
        "The files of this node's identity cannot be used",
        "node.pem or trust.pem below .outrider/identity is damaged or gone, or the disk refuses.",
        "Links that stand go on; new ones wait.",
        "The text says which file. `outrider join` makes both anew at a worker.",
        "/var/ossec/.outrider/identity/trust.pem is damaged: it holds no certificate",
    ),
    Explanation(
        Code.NO_AUTHORITY,
        "There is no authority here",
        "A command of `outrider ca` was called on a home that does not hold the cluster's authority.",
        _COMMAND,
        "Call it where `outrider ca init` was run, or name its folder in ca.folder.",
        "there is no authority in /var/ossec/.outrider/ca; `outrider ca init` makes one",
    ),
    Explanation(
        Code.AUTHORITY_STATE,
        "The authority is not at the point that the command needs",
        "It exists already, is being replaced already, or is not being replaced.",
        _COMMAND,
        "`outrider ca list` shows how it stands; the text names the command for it.",
        "/var/ossec/.outrider/ca holds an authority already; `outrider ca rotate` replaces it",
    ),
    Explanation(
        Code.AUTHORITY_FILES,
        "The authority's files cannot be used",
        "Its key or ledger is damaged, encrypted with another passphrase, or belongs to another user.",
        "Nodes go on with the certificates that they have; none is issued or renewed.",
        "Restore the whole folder from a copy, or correct ca.passphrase_file, owner and mode.",
        "cannot open the authority's key /var/ossec/.outrider/ca/ca.key: the passphrase is wrong",
    ),
    Explanation(
        Code.NAME_HAS_CERTIFICATE,
        "This name has a certificate that is good",
        "One name belongs to one node: a second certificate would be a second node under its name.",
        _COMMAND,
        "If another node is to have the name: `outrider ca revoke NAME`, then once more.",
        "w1 has a certificate that is good; if another node is to have the name: outrider ca revoke w1",
    ),
    Explanation(
        Code.JOIN_REFUSED,
        "This node may not join",
        "The token was used, has expired or is for another name; or the master asked holds no authority.",
        "Nothing has changed on either side.",
        "A new token by `outrider ca token NAME`, at the node that holds the authority, and --master with its address.",
        "the master refuses: this node may not join: the token has been used",
    ),
    Explanation(
        Code.BAD_TOKEN,
        "This is no token for this node",
        "It was cut short when it was copied, or was made for another name.",
        _COMMAND,
        "Copy it whole, or have one made for this node.name.",
        "node.name = 'w2': the token is for w1",
    ),
    Explanation(
        Code.PEER_NOT_TRUSTED,
        "The other end's certificate is not taken",
        "It is of no authority that this node knows, names another node, has expired or was revoked.",
        "No link is made; a worker tries again. What was learned of the other end stays.",
        "The text says what it is. A node that was replaced joins again; a revoked one needs a new token.",
        "this node refuses the master: its certificate names m2, and it says that it is m1",
    ),
    Explanation(
        Code.NOTHING_TO_REVOKE,
        "Nobody of this name has a certificate that is good",
        "It was revoked already, has expired, or the name is misspelt.",
        _COMMAND,
        "`outrider ca list` shows who has one.",
        "'w7' has no certificate that is good; `outrider ca list` shows who has",
    ),
    Explanation(
        Code.PEER_CHANGED,
        "The other end is less than it was",
        "It spoke the extended protocol, or showed a certificate, and does not any more: it was replaced, or somebody "
        "stands in its place.",
        "No link is made, and what was learned of it stays.",
        "Find out which. If it was replaced by you: `outrider peer forget NAME` on this node.",
        "the master at 192.0.2.10:1516 (m) was seen to speak the extended protocol, and now does not",
    ),
    Explanation(
        Code.NO_SUCH_PEER,
        "No peer of this name is remembered",
        "The name is misspelt, or it was forgotten already.",
        _COMMAND,
        "`outrider peer list` shows who is.",
        "no peer 'm' is remembered; `outrider peer list` shows who is",
    ),
)
