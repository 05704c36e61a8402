"""Where the requests of one node come in: each is read, waits for its turn, runs, and has an answer in every case.

Work of this node and waiting for another node have queues of their own. Otherwise a node whose callers all wait for
an answer that it must itself contribute to would have no place left to run that.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from outrider.errors import OutriderError, Refusal, RequestTimeoutError
from outrider.exchange.pending import Pending
from outrider.hooks import Line, RequestEvent
from outrider.logs import Tag, task_logger
from outrider.model import NodeInfo
from outrider.ports import Ports
from outrider.protocol.api import Request
from outrider.protocol.faults import Failure
from outrider.protocol.results import FAILURES, encode_result
from outrider.relay.calls import Calls, failure_of, longest_of, read_request, seconds_for
from outrider.relay.context import OF_LOCAL, AgentLister, Context
from outrider.relay.grants import Grants
from outrider.relay.handlers import Handlers
from outrider.relay.queue import RequestQueue, TooManyRequests
from outrider.relay.quotas import BY_SETTINGS, Quotas
from outrider.relay.routes import Answer
from outrider.relay.targets import runs_here
from outrider.settings import Live
from outrider.status import Status
from outrider.store.agents import AgentStore

Work = Callable[[Request, str, float], Pending[Answer] | Coroutine[Any, Any, Answer]]
"""Answers a request of a caller within so many seconds."""


class Desk:
    """See the module. ``calls`` is what requests may call, ``nodes`` who is in the cluster as this node sees it.

    ``quotas_here`` bound the work of this node, ``quotas_elsewhere`` that of others.

    The settings of ``live`` are without the cluster's keys: calls may see them.
    """

    def __init__(
        self,
        node: NodeInfo,
        *,
        live: Live,
        ports: Ports,
        status: Status,
        agents: AgentStore,
        nodes: Callable[[], Sequence[NodeInfo]],
        calls: Handlers,
        heard: Line[RequestEvent],
        quotas_here: Quotas = BY_SETTINGS,
        quotas_elsewhere: Quotas = BY_SETTINGS,
    ) -> None:
        self._log = task_logger(Tag.API, node.name)
        self._live = live
        self._grants = Grants(live, node.type, status)
        self._status = status
        self._ports = ports
        self._heard = heard
        self._at_master = node.type == "master"
        self.agents = agents if isinstance(agents, AgentLister) else None
        self._calls = Calls(
            calls,
            Context(
                node=node,
                settings=live.now,
                status=status,
                ports=ports,
                nodes=nodes,
                agents=self.agents,
                calls=calls,
            ),
            live,
        )
        self._here: RequestQueue[Answer] = RequestQueue(live, status, quotas_here)
        self._elsewhere: RequestQueue[Answer] = RequestQueue(live, status, quotas_elsewhere)

    def here(self, caller: str, payload: bytes) -> Pending[Answer]:
        """The answer of this node to a request, whatever its type."""
        try:
            request = self.read(caller, payload)
        except Refusal as refusal:
            return Pending.now(refused(refusal))
        return self.run(caller, request, len(payload), self.call)

    def read(self, caller: str, payload: bytes) -> Request:
        """The request in a payload, if it is one and ``caller`` may make it; :class:`Refusal` with the reason."""
        request = read_request(payload, self._live.now, self._status)
        local = caller.startswith(OF_LOCAL)
        self._grants.check(
            caller, request.call, elsewhere=not local and not runs_here(request, at_master=self._at_master)
        )
        return request

    def run(self, caller: str, request: Request, size: int, work: Work, *, elsewhere: bool = False) -> Pending[Answer]:
        """Have ``work`` answer ``request`` when its turn has come; ``elsewhere`` if that is another node's work."""
        seconds = seconds_for(request, self._live.now)
        queue = self._elsewhere if elsewhere else self._here
        try:
            ticket = queue.submit(caller, partial(work, request, caller, seconds), seconds=seconds, size=size)
        except Refusal as refusal:
            return Pending.now(failed(refusal))
        answer = ticket.otherwise(partial(self._failed, request, caller))
        if not self._heard.heard:
            return answer
        return answer.made(partial(self._tell, request.call, caller, self._ports.monotonic()))

    def _tell(self, call: str, caller: str, started: float, answer: Answer) -> Answer:
        """The host hears of an answer on its way."""
        seconds = self._ports.monotonic() - started
        failed = not answer.ok or answer.body.startswith(FAILURES)
        self._heard.tell(RequestEvent(call=call, caller=caller, failed=failed, seconds=seconds, size=len(answer.body)))
        return answer

    def _failed(self, request: Request, caller: str, error: Exception) -> Answer:
        if isinstance(error, OutriderError):
            return failed(self._named(request, error))
        # Our own mistake: its caller has an answer all the same.
        self._log.error("the request %s of %s failed: %s", request.call, caller, error, exc_info=error)
        return failed(error)

    def _named(self, request: Request, error: OutriderError) -> OutriderError:
        """An error, with the setting where one ended the request: its caller's own wish is none."""
        setting = longest_of(request, self._live.now)
        if not isinstance(error, RequestTimeoutError) or setting is None:
            return error
        self._status.limit_hit(setting)
        return RequestTimeoutError(f"{error} ({setting})")

    def call(self, request: Request, caller: str, _: float) -> Pending[Answer] | Coroutine[Any, Any, Answer]:
        """The answer of this node, now."""
        try:
            self._grants.check(caller, request.call)
            answer = self._calls.answer(request, caller)
        except Refusal as refusal:
            return Pending.now(refused(refusal))
        return answer.made(Answer) if isinstance(answer, Pending) else _result(answer)

    def left(self, caller: str) -> None:
        """The caller is gone: none of its requests is worth an answer."""
        self._here.drop(caller)
        self._elsewhere.drop(caller)

    async def close(self) -> None:
        """Give up everything."""
        await self._elsewhere.close()
        await self._here.close()


async def _result(answer: Coroutine[Any, Any, bytes]) -> Answer:
    return Answer(await answer)


def refused(refusal: Refusal) -> Answer:
    """A request that cannot be run has no result, only a text; one that is over a quota has a result."""
    if isinstance(refusal, TooManyRequests):
        return failed(refusal)
    return Answer((refusal.detail or str(refusal)).encode(), ok=False)


def failed(error: Exception) -> Answer:
    """A failure as a result."""
    return failure(failure_of(error))


def answer_of(outcome: Answer | Exception) -> Answer:
    """An outcome as an answer, be it a failure."""
    return failed(outcome) if isinstance(outcome, Exception) else outcome


def failure(of: Failure) -> Answer:
    """A failure as a result."""
    return Answer(encode_result(of))
