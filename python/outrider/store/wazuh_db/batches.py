"""Records of any number, in requests that wazuh-db can read; what it refuses is narrowed down to single records.

Of a request with many records wazuh-db says neither which one it refused nor, for agents, does it go
on after that one (specification 6.3). So a refused request is halved and sent again, which is harmless
for records that only say how things are: the good ones end up stored, the bad ones alone, with their reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from outrider.errors import RecordsRefused, UnknownAgents
from outrider.printable import counted
from outrider.store.wazuh_db.client import Client
from outrider.store.wazuh_db.frames import LARGEST

_NAMED_AGENTS, _NAMED_REASONS = 10, 3


class Record(NamedTuple):
    """What is said of one agent, as JSON."""

    id: int
    text: bytes


class Command(NamedTuple):
    """A request that carries records: what stands before them and after them."""

    head: bytes
    tail: bytes

    @property
    def room(self) -> int:
        """Bytes that are left for records."""
        return LARGEST - len(self.head) - len(self.tail)

    def request(self, records: Sequence[Record]) -> bytes:
        """The request with these records."""
        return self.head + b",".join(record.text for record in records) + self.tail


def split(records: Iterable[Record], room: int) -> Iterator[list[Record]]:
    """Runs of records that take at most ``room`` bytes with their commas; what alone takes more stands alone."""
    batch: list[Record] = []
    size = -1
    for record in records:
        if batch and size + 1 + len(record.text) > room:
            yield batch
            batch, size = [], -1
        batch.append(record)
        size += 1 + len(record.text)
    if batch:
        yield batch


async def write(client: Client, command: Command, records: Iterable[Record], *, singly: bool = False) -> None:
    """Write all records, ``singly`` in a request each; then :class:`RecordsRefused` names those that were refused."""
    refused: list[tuple[int, RecordsRefused]] = []
    for batch in split(records, 0 if singly else command.room):
        refused += await _write_batch(client, command, batch)
    if refused:
        raise _refusal(refused)


async def _write_batch(client: Client, command: Command, batch: Sequence[Record]) -> list[tuple[int, RecordsRefused]]:
    try:
        await client.ask(command.request(batch))
    except RecordsRefused as error:
        if len(batch) == 1:
            return [(batch[0].id, error)]
        middle = len(batch) // 2
        refused = await _write_batch(client, command, batch[:middle])
        return refused + await _write_batch(client, command, batch[middle:])
    return []


def _refusal(refused: Sequence[tuple[int, RecordsRefused]]) -> RecordsRefused:
    """One error for all of them: ids by reason, the first ones by name."""
    by_reason: dict[str, list[int]] = {}
    for agent, error in refused:
        by_reason.setdefault(str(error), []).append(agent)
    texts = [f"{_names(agents)}: {reason}" for reason, agents in list(by_reason.items())[:_NAMED_REASONS]]
    others = len(by_reason) - len(texts)
    text = "; ".join(texts) + (f"; and {counted(others, 'more reason')}" if others else "")
    kind = UnknownAgents if all(isinstance(error, UnknownAgents) for _, error in refused) else RecordsRefused
    return kind(f"wazuh-db refused {text}")


def _names(agents: Sequence[int]) -> str:
    named = ", ".join(map(str, agents[:_NAMED_AGENTS]))
    others = len(agents) - _NAMED_AGENTS
    return f"agent{'s' if len(agents) > 1 else ''} {named}" + (f" and {others} more" if others > 0 else "")
