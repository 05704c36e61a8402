"""The code of every error: which situation a person is in. It never changes its meaning, and never comes back.

Two digits for the family, two for the situation in it. What :mod:`outrider.explained` says of a code is what
``outrider explain CODE`` shows and what ``docs/errors.md`` is made of. Errors that one node tells another have the
numbers of specification 7.2 instead, such as 3022, and are explained in the same way.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """A situation that has its own remedy."""

    OTHER = "OUT-1000"

    # settings
    SETTINGS = "OUT-1001"
    SETTINGS_FILE = "OUT-1002"
    NOT_TOML = "OUT-1003"
    UNKNOWN_KEY = "OUT-1004"
    VALUE_REFUSED = "OUT-1005"
    VALUES_MISFIT = "OUT-1006"
    SETTING_MISSING = "OUT-1007"
    HOME = "OUT-1008"
    HOME_TAKEN = "OUT-1009"
    CANNOT_LISTEN = "OUT-1010"
    NO_SUCH_STORE = "OUT-1011"
    KIND_OPTION = "OUT-1012"
    SECRET_IN_THE_OPEN = "OUT-1013"  # noqa: S105  (no password, a code)
    WAZUH_FILES = "OUT-1014"
    WOULD_OVERWRITE = "OUT-1015"
    FILES_TABLE = "OUT-1016"
    PACKAGES_MISSING = "OUT-1017"

    # the cluster key
    NO_KEY = "OUT-1101"
    KEY_FILE = "OUT-1102"
    TWO_KEYS = "OUT-1103"
    KEY_CREDENTIAL = "OUT-1104"
    KEYS_DIFFER = "OUT-1105"
    KEY_ROTATED_OUT = "OUT-1106"
    CLOCKS_APART = "OUT-1107"
    KEY_NOT_KEPT = "OUT-1108"
    ROTATION_LEAVES_OUT = "OUT-1109"

    # the link
    NETWORK = "OUT-1201"
    NO_ANSWER = "OUT-1202"
    REQUEST_TIMEOUT = "OUT-1203"
    LINK_LOST = "OUT-1204"
    NO_HELLO = "OUT-1205"
    TLS = "OUT-1206"
    LOCAL_SOCKET = "OUT-1207"
    NO_NODE = "OUT-1208"
    CONTAINER_CANCELLED = "OUT-1209"
    NOTHING_TAKEN = "OUT-1210"

    # the peer
    PEER = "OUT-1301"
    PROTOCOL_BROKEN = "OUT-1302"
    NOT_EXTENDED = "OUT-1303"
    PEER_LIMIT = "OUT-1304"
    PATH_REFUSED = "OUT-1305"
    UNREADABLE_DATA = "OUT-1306"
    HASH_MISMATCH = "OUT-1307"
    PEER_GAVE_UP = "OUT-1308"
    FILE_LATE = "OUT-1309"
    REFUSED = "OUT-1310"

    # identity
    NO_CERTIFICATE = "OUT-1401"
    CERTIFICATE_OF_ANOTHER = "OUT-1402"
    IDENTITY_FILE = "OUT-1403"
    NO_AUTHORITY = "OUT-1404"
    AUTHORITY_STATE = "OUT-1405"
    AUTHORITY_FILES = "OUT-1406"
    NAME_HAS_CERTIFICATE = "OUT-1407"
    JOIN_REFUSED = "OUT-1408"
    BAD_TOKEN = "OUT-1409"  # noqa: S105
    PEER_NOT_TRUSTED = "OUT-1410"
    NOTHING_TO_REVOKE = "OUT-1411"
    PEER_CHANGED = "OUT-1412"
    NO_SUCH_PEER = "OUT-1413"

    # the tree
    NOT_APPLIED = "OUT-1501"
    TREE_IN_THE_WAY = "OUT-1502"
    TREE_DRIFTED = "OUT-1503"
    MASTER_CANNOT_SEND = "OUT-1504"
    NO_FOLDER = "OUT-1505"

    # generations
    HELD_BACK = "OUT-1601"
    OLDER_GENERATION = "OUT-1602"
    OTHER_GENERATION = "OUT-1603"
    QUARANTINED = "OUT-1604"
    GENERATION_NOT_KEPT = "OUT-1605"
    NO_GENERATION = "OUT-1606"

    # this machine's disk and databases
    STORE = "OUT-1701"
    DISK_FULL = "OUT-1702"
    FORBIDDEN = "OUT-1703"
    FILE_MISSING = "OUT-1704"
    DISK_FAILS = "OUT-1705"
    DAMAGED = "OUT-1706"
    BUSY = "OUT-1707"
    FOREIGN_DATABASE = "OUT-1708"
    NOT_RUNNING = "OUT-1709"
    STORE_OF_A_PACKAGE = "OUT-1710"
    FOLDER_HELD = "OUT-1711"

    # agents and groups
    RECORDS_REFUSED = "OUT-1801"
    UNKNOWN_AGENTS = "OUT-1802"
    NO_WAZUH_DB = "OUT-1803"
    STRANGE_WAZUH_DB = "OUT-1804"
    LARGER_THAN_AN_ANSWER = "OUT-1805"
    IMPORT_LINE = "OUT-1806"
    NO_SUCH_AGENT = "OUT-1807"
    AGENT_EXISTS = "OUT-1808"
    NO_SUCH_GROUP = "OUT-1809"
    NO_STORE_YET = "OUT-1810"
    GROUPS_NOT_WRITTEN = "OUT-1811"
    CHUNKS_NOT_KEPT = "OUT-1812"

    # commands
    SYSTEM = "OUT-1901"
    USAGE = "OUT-1902"
    PARTLY_FAILED = "OUT-1903"
    STOPPED_AT_ONCE = "OUT-1904"
    DEMO_NODE = "OUT-1905"
    NO_SUCH_CODE = "OUT-1906"
    INTERRUPTED = "OUT-1907"
