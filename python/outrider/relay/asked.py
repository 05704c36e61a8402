"""The nodes that one distributed request was sent to, and their answers together (specification 5.9, route 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from outrider.errors import Refusal
from outrider.exchange.pending import Pending
from outrider.protocol import faults
from outrider.protocol.faults import Failure
from outrider.protocol.merging import merge
from outrider.protocol.results import decode_result, encode_result
from outrider.relay.calls import failure_of
from outrider.relay.desk import answer_of, failure
from outrider.relay.routes import Answer


class Asked:
    """See the module. All answers hold ``most_bytes`` together; what is beyond is a failure of its node."""

    def __init__(self, most_bytes: int) -> None:
        self.held = 0
        self._most_bytes = most_bytes
        self._open: dict[str, Pending[Answer]] = {}
        self._answers: dict[str, Answer] = {}
        self._complete: Pending[None] = Pending()

    @property
    def too_large(self) -> bool:
        """Whether an answer had to be left out."""
        return self.held > self._most_bytes

    def add(self, node: str, answer: Pending[Answer]) -> None:
        """One more node, which is to answer."""
        self._open[node] = answer

    async def answers(self, seconds: float) -> dict[str, Answer]:
        """What each node answered, in their order; a failure of those that did not within ``seconds``."""
        nodes = list(self._open)
        for node, pending in list(self._open.items()):
            pending.then(partial(self._answered, node))
        if self._open:
            try:
                async with asyncio.timeout(seconds):
                    await self._complete
            except TimeoutError:
                late = {node: failure(Failure.of_cluster(faults.API_TIMEOUT, node)) for node in self._open}
                self._answers |= late
        return {node: self._answers[node] for node in nodes}

    def give_up(self) -> None:
        """Nobody waits for those that have not answered."""
        for pending in list(self._open.values()):
            pending.give_up()

    def _answered(self, node: str, outcome: Answer | Exception) -> None:
        del self._open[node]
        answer = answer_of(outcome)
        self.held += len(answer.body)
        self._answers[node] = self._excess() if self.too_large else answer
        if not self._open:
            self._complete.settle(None)

    def _excess(self) -> Answer:
        text = f"all nodes' answers have more than {self._most_bytes} bytes (limits.result_bytes); ask for less"
        return failure(Failure.internal(text))


def merged(answers: Mapping[str, Answer]) -> bytes:
    """One answer of all of them."""
    return encode_result(merge({node: _read(answer) for node, answer in answers.items()}))


def _read(answer: Answer) -> object:
    """An answer as a value; what is none is a failure of its node."""
    if not answer.ok:
        return Failure.of_cluster(faults.GENERIC, answer.body.decode(errors="replace"))
    try:
        return decode_result(answer.body)
    except ValueError as error:
        return failure_of(Refusal(faults.GENERIC, f"its answer is not JSON: {error}"))
