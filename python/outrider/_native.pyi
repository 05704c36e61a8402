"""The typed face of the native core; the docstrings of its members live here.

Every method that reads or writes the disk, hashes or compresses releases the interpreter: call it
in a thread. Errors arrive as the classes of :mod:`outrider.errors`: a peer's bytes as
:class:`PeerError`, a tree in the way as :class:`SyncError`, the disk as :class:`StoreError`.
"""

import builtins
from collections.abc import Sequence
from typing import ClassVar, final

__all__ = [
    "AgentMessage",
    "Applied",
    "BundleFeed",
    "BundlePacker",
    "Burst",
    "Contents",
    "Entry",
    "FileRule",
    "FilesTable",
    "Generation",
    "Generations",
    "Manifest",
    "Packed",
    "Packer",
    "Plan",
    "Scan",
    "ScanProgress",
    "ShortManifest",
    "Step",
    "Tree",
    "Watcher",
    "__version__",
    "diff",
    "latest_generation",
    "pack_manifest",
    "read_manifest",
]

__version__: str

@final
class AgentMessage:
    """A message of agents (specification 5.7, 5.8): its command and its chunks, found in ``text``, not copied.

    :class:`PeerError` if it is no such message, or holds more than 65,536 chunks.
    """

    def __new__(cls, text: bytes) -> AgentMessage: ...
    @property
    def command(self) -> str:
        """What the receiver's database is asked to do."""

    def __len__(self) -> int:
        """How many chunks there are."""

    def chunk(self, number: int) -> bytes:
        """A chunk's text, from 0 on; :class:`IndexError` beyond the last.

        :class:`PeerError` if it is no text, or one of more than 65,536 bytes.
        """

@final
class FileRule:
    """One row of the files table (specification 4.4); :class:`SettingsError` if it cannot work."""

    def __new__(
        cls,
        folder: str,
        *,
        names: Sequence[str] | None = None,
        recursive: bool = True,
        permissions: int = 0o660,
        remove_subdirs_if_empty: bool = False,
        extra_valid: bool = False,
    ) -> FileRule: ...
    @property
    def folder(self) -> str: ...

@final
class FilesTable:
    """All rows, and the names that never travel."""

    def __new__(
        cls,
        rules: Sequence[FileRule],
        *,
        excluded_files: Sequence[str] = ...,
        excluded_suffixes: Sequence[str] = ...,
        follow_links: bool = False,
    ) -> FilesTable: ...

@final
class Entry:
    """One file: its path below the home, the BLAKE2b-512 of its content, its time and its rule."""

    @property
    def path(self) -> str: ...
    @property
    def hash(self) -> str:
        """128 lower-case hex digits."""
    @property
    def mod_time(self) -> float: ...
    @property
    def rule(self) -> str:
        """The folder key, the wire's ``cluster_item_key``."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Manifest:
    """What a tree holds: entries sorted by path, and one root over them all. Immutable."""

    def __len__(self) -> int: ...
    def __contains__(self, path: str, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def get(self, path: str) -> Entry | None: ...
    def entries(self) -> list[Entry]: ...
    def without_own(self, table: FilesTable, agreed: Manifest) -> Manifest:
        """The same without the files that are a node's own: of a rule with ``extra_valid``, and not in ``agreed``."""
    @property
    def root(self) -> str:
        """Root of the BLAKE2b tree over folders and files, 128 hex digits; equal roots: equal paths and contents."""
    def to_wire(self, home: str) -> bytes:
        """The metadata JSON of specification 4.2, as a worker whose tree lies at ``home`` sends it."""
    @staticmethod
    def from_wire(data: bytes) -> Manifest:
        """Read metadata JSON; :class:`PeerError` for anything that is not, a name that may not be written included."""
    def to_native(self) -> bytes:
        """The native form with whole digests and times, compressed: some 72 bytes a file."""
    def to_native_short(self) -> bytes:
        """The native form with the first 16 bytes of each digest and no times, for :class:`ShortManifest`."""
    @staticmethod
    def from_native(data: bytes, *, max_bytes: int) -> Manifest:
        """Read :meth:`to_native`'s bytes, whose entries may take ``max_bytes`` of memory; else :class:`PeerError`."""

@final
class ShortManifest:
    """What a node says its tree holds, with 16 bytes of each digest; only compared. Immutable."""

    @staticmethod
    def from_native(data: bytes, *, max_bytes: int) -> ShortManifest:
        """Read :meth:`Manifest.to_native_short`'s bytes; as :meth:`Manifest.from_native`."""
    def __len__(self) -> int: ...
    def __contains__(self, path: str, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def matches(self, manifest: Manifest) -> bool:
        """Whether it has the paths of ``manifest`` and, as far as 16 bytes tell, its contents."""

@final
class Plan:
    """What must change at the far end: the three groups of specification 4.5. Immutable."""

    @property
    def missing(self) -> list[Entry]: ...
    @property
    def shared(self) -> list[Entry]: ...
    @property
    def extra(self) -> list[Entry]: ...
    @property
    def counts(self) -> tuple[int, int, int]:
        """Entries in missing, shared and extra."""
    def __bool__(self) -> bool:
        """Whether anything must change."""
    def __str__(self) -> str:
        """For people: the counts, then one line for each file: ``+`` missing, ``~`` shared, ``-`` extra."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def to_json(self) -> str:
        """For programs: ``counts``, and the paths of ``missing``, ``shared`` and ``extra``."""
    def to_wire(self) -> bytes:
        """The three groups as a master sends them; never marked merged, since an old worker would write nothing."""
    @staticmethod
    def from_wire(data: bytes) -> Plan:
        """Read a master's three groups; :class:`PeerError` for bad paths, twins or anything else."""

def diff(source: Manifest, target: Manifest, table: FilesTable, *, unseen: Sequence[str] = ...) -> Plan:
    """What must change in ``target``'s tree so that it equals ``source``'s.

    ``unseen`` are the paths that the source's scan left out: what lies there or below is never deleted.
    """

@final
class Scan:
    """The outcome of one look at a tree."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def problems(self) -> list[tuple[str, str]]:
        """Path and reason of everything that was left out: links, devices, unreadable or unnameable files, twins."""
    @property
    def hashed(self) -> int:
        """How many files were read and hashed; the others came from the index."""
    @property
    def bytes_hashed(self) -> int: ...

@final
class ScanProgress:
    """How far a scan has come, for another thread to read while it goes on."""

    def __new__(cls) -> ScanProgress: ...
    @property
    def files(self) -> int:
        """How many files were looked at."""
    @property
    def bytes(self) -> int:
        """How many bytes were read."""
    @property
    def expected(self) -> int:
        """How many files the index, or whoever knows better, says that there are; 0 if nobody does."""
    def expect(self, files: int) -> None:
        """Say how many files there should be."""
    def stop(self) -> None:
        """End the scan within a part of a file; it raises :class:`StoreError` and keeps nothing."""

@final
class Packed:
    """What a packer really put into its container."""

    @property
    def plan(self) -> Plan:
        """The plan as sent, after the size rules of specification 4.3."""
    @property
    def size(self) -> int:
        """Bytes of the container."""
    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Path and reason of every file that waits for a later round."""

@final
class Packer:
    """A container in the making; threads of its own compress ahead, in bounded memory."""

    def read(self, size: int) -> bytes:
        """The next bytes, ``size`` of them unless the container ends; empty at the end."""
    def packed(self) -> Packed:
        """What was packed; only after ``read`` returned empty."""
    def close(self) -> None:
        """Stop early and free everything."""

@final
class Contents:
    """Where the contents of a manifest's entries are kept: a tree as it is, or a store of what it was."""

    def or_else(self, then: Contents) -> Contents:
        """What this keeps, and where it does not, what ``then`` keeps."""

@final
class Step:
    """What brings a tree from one manifest to another. Immutable.

    Files that only ``base`` has stay where their rule has ``extra_valid``, and at and below the paths ``unseen``,
    which the source's scan left out.
    """

    def __new__(cls, base: Manifest, to: Manifest, table: FilesTable, *, unseen: Sequence[str] = ...) -> Step: ...
    @staticmethod
    def against(
        base_root: str, reported: ShortManifest, to: Manifest, table: FilesTable, *, unseen: Sequence[str] = ...
    ) -> Step:
        """The step from what a node reports of a tree whose root is not known here."""
    def wanted(self, new: Contents) -> list[str]:
        """Changed files of 64 KiB or more whose old version is not known here: their chunks would spare much."""
    def with_signatures(self, signatures: bytes) -> Step:
        """Add the chunks that the receiver has (:meth:`Tree.signatures`); :class:`PeerError` if they are none."""
    @property
    def base_root(self) -> str:
        """The root that the receiver stands at, 128 hex digits."""
    @property
    def root(self) -> str:
        """The root that it stands at afterwards; files that are kept do not count."""
    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Files that are new, patched, copied (or renamed), deleted, and kept though only the base has them."""
    @property
    def deleted_fraction(self) -> float:
        """The part of the base's files that goes, 0 to 1."""
    def __str__(self) -> str:
        """For people: the counts, then one line for each file: ``+`` new, ``~`` patched, ``=`` copied, ``-`` gone."""

@final
class BundlePacker:
    """A step as bytes, in the making; threads of its own pack ahead, in bounded memory.

    Old versions come out of ``old`` (``None``: nothing is kept), all else out of ``new``; each content is verified.
    :class:`SyncError`, here or from :meth:`read`, if a file is not what the step says any more: scan again.
    """

    def __new__(
        cls, step: Step, old: Contents | None, new: Contents, *, threads: int = 0, level: int = 3
    ) -> BundlePacker: ...
    @property
    def unpacked(self) -> int:
        """Bytes of the files that it brings, those that are patched whole; copies bring none."""
    def read(self, size: int) -> bytes:
        """The next bytes, ``size`` of them unless the bundle ends; empty at the end."""
    def close(self) -> None:
        """Stop early and free everything."""

@final
class BundleFeed:
    """The bytes of a bundle between who receives and :meth:`Tree.apply_bundle`, about ``capacity`` of them at most."""

    def __new__(cls, capacity: int = ...) -> BundleFeed: ...
    def write(self, data: bytes) -> bool:
        """Add bytes, waiting while there is no room; false if nobody reads any more."""
    def finish(self) -> None:
        """All bytes were written."""
    def fail(self, why: str) -> None:
        """No more will come: the apply ends with this reason and changes nothing."""

@final
class Applied:
    """The outcome of one transaction."""

    @property
    def plan(self) -> Plan: ...
    @property
    def manifest(self) -> Manifest | None:
        """What the tree holds now, after a bundle; a container does not tell."""
    @property
    def written(self) -> int: ...
    @property
    def deleted(self) -> int: ...
    @property
    def folders_removed(self) -> int: ...
    @property
    def bytes_written(self) -> int: ...
    @property
    def seconds(self) -> dict[str, float]:
        """Time of each phase: ``unpack``, ``sync``, ``exchange``, ``commit``."""

@final
class Tree:
    """A home and its files table: scanned, packed and changed as a whole.

    ``owner`` is the user and group id of applied files (``None``: the process's own); ``threads`` 0
    means one for each core; ``keep_previous`` is how many replaced versions stay. What the tree
    keeps for itself (index, stage, journal, previous versions) lies in ``.outrider`` folders,
    which no scan sees.
    """

    def __new__(
        cls,
        home: str,
        table: FilesTable,
        *,
        owner: tuple[int, int] | None = None,
        keep_previous: int = 1,
        threads: int = 0,
        max_file_bytes: int | None = None,
        max_total_bytes: int | None = None,
        max_files: int | None = None,
        max_ratio: int | None = None,
        max_metadata_bytes: int | None = None,
    ) -> Tree: ...
    def scan(self, *, rehash: bool = False, look_only: bool = False, progress: ScanProgress | None = None) -> Scan:
        """Look at every file; read only those whose stat differs from the index, all if ``rehash``.

        The index becomes what was found, unless ``look_only``. ``progress`` counts meanwhile.
        """
    def remembered(self) -> Manifest:
        """What the index says that the tree holds; nothing is looked at. Empty where there is no index."""
    def recover(self) -> str | None:
        """Finish or undo an apply that a crash cut short; call it first.

        ``"finished"``, ``"undone"``, or ``None`` if there was none. Where the journal is damaged, ``"set aside, ..."``
        with the reason, and where what was replaced lies; the next scan then reads every file.
        """
    def pack(self, plan: Plan, *, limit: int | None = None, level: int = 1) -> Packer:
        """A master's container: the files of ``missing`` and ``shared``, then the three groups (4.1, 4.3)."""
    def apply(self, container: str, *, most_deleted: int | None = None) -> Applied:
        """Unpack, verify and apply a master's container as one transaction, or change nothing and raise.

        :class:`HeldBackError` if it deletes more than ``most_deleted`` files and brings none.
        """
    def rollback(self) -> int:
        """Go back to the version before the last apply, durably; how many steps that took.

        What somebody changed since stays. :class:`SyncError` if no version is kept, or the kept one is damaged.
        """
    def apply_bundle(self, feed: BundleFeed, base: Manifest, root: str, *, most_deleted: int | None = None) -> Applied:
        """Apply a bundle while it arrives, as one transaction, or change nothing and raise.

        ``base`` is what the tree holds, ``root`` (128 hex digits) where the bundle leads. :class:`SyncError` if a file
        that it builds on is not what ``base`` says: scan again. :class:`HeldBackError` if it deletes more than
        ``most_deleted`` files.
        """
    def contents(self) -> Contents:
        """The contents of its files as they are now."""
    def signatures(self, manifest: Manifest, paths: Sequence[str]) -> bytes:
        """The content-defined chunks of those of ``paths`` that have 64 KiB or more, for who does not know them."""
    def sweep(self) -> int:
        """Remove versions beyond ``keep_previous`` and leftovers; returns how many. Slow, harmless."""

@final
class Burst:
    """Changes below a home that came together."""

    @property
    def folders(self) -> list[str]:
        """Folders in which something changed, below the home, for the log: sorted, at most 32; ``""`` is the home."""
    @property
    def lost(self) -> bool:
        """Whether there may be changes that nobody told: the queue was full, or not all of the tree is watched."""

@final
class Watcher:
    """The folders of a table beneath a home, watched from now on, together with those that come later.

    A burst is over when it was quiet for ``settle_s`` seconds, or ``longest_s`` after its first event. Reading, and
    names that never travel, wake nobody. :class:`StoreError` if the home cannot be opened.
    """

    def __new__(cls, home: str, table: FilesTable, *, settle_s: float = 0.01, longest_s: float = 0.2) -> Watcher: ...
    def wait(self, timeout_s: float) -> Burst | None:
        """The next burst once it is over; ``None`` after ``timeout_s`` seconds, or at once when this is closed.

        It blocks, and lets Python go on. Seconds beyond a day are a :class:`ValueError`.
        """
    def begin(self) -> None:
        """From here on the node itself changes the tree: what is seen until :meth:`end` is told after it, if at all.

        It blocks for a moment, and lets Python go on; so does :meth:`end`.
        """
    def end(self, plan: Plan | None = None) -> None:
        """A change that began has done what ``plan`` says, or nothing: the rest was somebody else's, and is told."""
    @property
    def reason(self) -> str | None:
        """Why a part of the tree, or all of it, is not watched, and what to do; ``None`` if all is."""
    def close(self) -> None:
        """End a wait that is under way, and each later one."""

@final
class Generation:
    """One state of the master's tree."""

    @property
    def number(self) -> int:
        """From 1 on; each generation has the number after that of the one before it."""
    @property
    def root(self) -> str:
        """Its manifest's :attr:`Manifest.root`."""
    @property
    def time(self) -> float:
        """When the tree was looked at, in Unix seconds."""
    @property
    def files(self) -> int:
        """Files in the tree."""
    @property
    def bytes(self) -> int:
        """Bytes of its file in the store: what it brought, compressed, and its manifest."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Generations:
    """The store of generations below ``home``; one at a time may be open, until it is closed or nobody refers to it.

    After a :meth:`sweep` it holds at most ``count`` generations (the latest always) and ``max_bytes`` bytes on disk. A
    content that finds no room is not kept. ``lineage``, 16 random bytes, becomes the store's own if it is new.
    :class:`SyncError` if another has it open.
    """

    def __new__(cls, home: str, *, count: int, max_bytes: int, lineage: bytes) -> Generations: ...
    def limit(self, *, count: int, max_bytes: int) -> None:
        """Keep so much from the next :meth:`sweep` on."""
    def close(self) -> None:
        """Let another store open the folder; what is kept can be read on, :meth:`add` and :meth:`sweep` refuse."""
    @property
    def lineage(self) -> bytes:
        """16 bytes that tell this store from another, whose numbers mean nothing here."""
    @property
    def damaged(self) -> int:
        """Files, manifests and contents that were found damaged since the store was opened; they are not kept."""
    def list(self) -> builtins.list[Generation]:
        """All generations, oldest first."""
    def latest(self) -> Generation | None: ...
    def find(self, root: str) -> int | None:
        """The number of the latest generation with this root."""
    def manifest(self, number: int) -> Manifest | None:
        """The manifest of a generation, if it is kept and whole."""
    def add(self, tree: Tree, manifest: Manifest, time: float) -> Generation:
        """Make what ``tree`` holds, ``manifest``, the latest generation, durably; one with its root already is it.

        :class:`SyncError` if a file changed since the scan; scan again. The store is then as it was.
        """
    def contents(self) -> Contents:
        """The contents that are kept, each verified when it is read."""
    def sweep(self) -> int:
        """Drop what is beyond the limits; how many generations. Slow now and then, so after everything that waits."""

def latest_generation(home: str) -> tuple[Generation, Manifest] | None:
    """The latest generation of a master's home, read without changing anything, whether its node runs or not.

    :class:`SyncError` if it is damaged, :class:`StoreError` for the disk.
    """

def pack_manifest(manifest: Manifest, home: str) -> Packer:
    """A worker's container: its metadata only (5.4); ``home`` as for :meth:`Manifest.to_wire`."""

def read_manifest(
    container: str, *, max_bytes: int | None = None, max_files: int | None = None, max_ratio: int | None = None
) -> tuple[Manifest, list[tuple[str, str]]]:
    """The metadata of a worker's container file, for a comparison; other members are ignored.

    With it come the names that no plan may hold, each with the rule that it breaks: they are left out.
    """
