"""Runs a call of the table: arguments in, the JSON of its answer out, whatever the handler does (threat 49).

A handler that raises, or answers what it did not promise, what cannot be sent or is too large, is named in the
log, counted, and answered with an exception of 7.2. One that blocks holds a thread of a small number, so that
scans and stores have theirs; half of that number is the most for one name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from msgspec import structs

from outrider.errors import ConnectionLostError, Refusal, RefusedByPeer, RequestTimeoutError
from outrider.exchange.pending import Pending
from outrider.logs import Tag, task_logger
from outrider.printable import words_of
from outrider.protocol import faults
from outrider.protocol.api import Request, TooDeep, decode_request
from outrider.protocol.faults import Failure
from outrider.protocol.results import encode_result
from outrider.relay.context import Context
from outrider.relay.handlers import Handler, Handlers
from outrider.relay.places import Places
from outrider.relay.queue import TooManyRequests
from outrider.settings import Limits, Live, Settings
from outrider.status import Status

API_REQUEST_S = 10.0
"""A request may take this long whatever its ``api_timeout`` says (5.9)."""


def read_request(payload: bytes, settings: Settings, status: Status) -> Request:
    """The request in a payload; :class:`Refusal`, whose detail is the text of a ``dapi_err``, if it is none."""
    most = settings.limits.request_bytes
    if len(payload) > most:
        status.limit_hit("limits.request_bytes")
        text = f"a request of {len(payload)} bytes is too large: the limit is {most} (limits.request_bytes)"
        raise Refusal(faults.INTERNAL, text)
    try:
        return decode_request(payload, settings.limits.json_depth)
    except TooDeep as error:
        status.limit_hit("limits.json_depth")
        raise Refusal(faults.INTERNAL, f"{error} (limits.json_depth)") from error
    except ValueError as error:
        raise Refusal(faults.INTERNAL, str(error)) from error


def seconds_for(request: Request, settings: Settings) -> float:
    """How long a request may take, from its arrival."""
    if request.wait_for_complete:
        return settings.limits.request_longest_s
    longest = settings.intervals.communication.timeout_dapi_request
    return longest if request.api_timeout is None else min(longest, max(API_REQUEST_S, request.api_timeout))


def longest_of(request: Request, settings: Settings) -> str | None:
    """The setting that bounds the time of a request; ``None`` where its caller wants no more than it allows."""
    if request.wait_for_complete:
        return "limits.request_longest_s"
    longest = settings.intervals.communication.timeout_dapi_request
    return "intervals.communication.timeout_dapi_request" if seconds_for(request, settings) == longest else None


def failure_of(error: Exception) -> Failure:
    """What a caller is told of an error, as a result."""
    match error:
        case TooManyRequests():
            return Failure(name="WazuhTooManyRequests", code=error.code, extra_message=error.detail)
        case Refusal():
            return Failure(code=error.code, extra_message=error.detail)
        case RefusedByPeer():
            return Failure.of_cluster(error.code, error.detail)
        case RequestTimeoutError():
            return Failure.of_cluster(faults.API_TIMEOUT, str(error))
        case ConnectionLostError():
            return Failure.of_cluster(faults.UNKNOWN_NODE, str(error))
        case _:
            return Failure.internal(str(error) or type(error).__name__)


class Calls:
    """See the module. ``context`` is what every call may know; each gets it with its own caller.

    Its settings are those of ``live``, which hold no key of the cluster.
    """

    def __init__(self, handlers: Handlers, context: Context, live: Live) -> None:
        self._handlers = handlers
        self._context = context
        self._live = live
        self._log = task_logger(Tag.API, context.node.name)
        self._threads = Places(lambda: self._limits.calls_in_threads)
        self._threads_of: dict[str, Places] = {}
        live.when_changed(self._look_again)
        self._in_threads: set[asyncio.Future[Any]] = set()

    def answer(self, request: Request, caller: str) -> Pending[bytes] | Coroutine[Any, Any, bytes]:
        """The JSON of the answer, be it a failure.

        :class:`Refusal` if the request names nothing that can be called: that has no result, only an error.
        """
        handler = self._handlers.find(request.call)
        try:
            arguments = handler.bind(request.f_kwargs, structs.replace(self._context, caller=caller))
        except Refusal as refusal:
            return Pending.now(encode_result(failure_of(refusal)))
        if handler.quick:
            return Pending.now(self._at_once(handler, arguments, caller))
        return self._later(handler, arguments, caller)

    def _at_once(self, handler: Handler, arguments: Mapping[str, Any], caller: str) -> bytes:
        try:
            return self._bounded(_written(handler, handler.function(**arguments)))
        except Refusal as refusal:  # the handler's own no
            return encode_result(failure_of(refusal))
        except BaseException as error:  # noqa: BLE001  (as in _later)
            return self._failed(handler, caller, error)

    async def _later(self, handler: Handler, arguments: Mapping[str, Any], caller: str) -> bytes:
        try:
            return self._bounded(await self._call(handler, arguments))
        except Refusal as refusal:  # the handler's own no
            return encode_result(failure_of(refusal))
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return self._failed(handler, caller, error)
        except GeneratorExit:  # the loop is closed around us
            raise
        except BaseException as error:  # noqa: BLE001  (a handler that calls sys.exit() ends its call, not the node)
            return self._failed(handler, caller, error)

    async def _call(self, handler: Handler, arguments: Mapping[str, Any]) -> bytes:
        if handler.plain:
            return await self._in_thread(handler, arguments)
        return _written(handler, await handler.function(**arguments))

    async def _in_thread(self, handler: Handler, arguments: Mapping[str, Any]) -> bytes:
        """Call a plain function; a caller that gives up does not wait, and the thread counts until it is free."""
        of_name = self._threads_of.setdefault(handler.name, Places(lambda: max(1, self._limits.calls_in_threads // 2)))
        if of_name.full or self._threads.full:
            self._context.status.limit_hit("limits.calls_in_threads")
        await of_name.take()
        try:
            await self._threads.take()
        except asyncio.CancelledError:
            of_name.give_back()
            raise
        work = asyncio.ensure_future(self._context.ports.threads.run(_guarded, handler, arguments))
        self._in_threads.add(work)
        work.add_done_callback(partial(self._thread_is_free, of_name))
        outcome: bytes | BaseException = await asyncio.shield(work)
        if isinstance(outcome, bytes):
            return outcome
        if isinstance(outcome, Exception):
            raise outcome
        # Nobody in a thread of ours may end the node or cancel a task of the loop.
        raise RuntimeError(f"{type(outcome).__name__}: {words_of(outcome)}") from outcome

    def _thread_is_free(self, of_name: Places, work: asyncio.Future[Any]) -> None:
        self._in_threads.discard(work)
        self._threads.give_back()
        of_name.give_back()

    @property
    def _limits(self) -> Limits:
        return self._live.now.limits

    def _look_again(self) -> None:
        """The settings are others: calls are to see them, and there may be a thread for those who wait."""
        self._context = structs.replace(self._context, settings=self._live.now)
        for places in (self._threads, *self._threads_of.values()):
            places.look_again()

    def _bounded(self, payload: bytes) -> bytes:
        if len(payload) > (most := self._limits.result_bytes):
            self._context.status.limit_hit("limits.result_bytes")
            raise ValueError(
                f"its answer has {len(payload)} bytes, the limit is {most} (limits.result_bytes); "
                "ask for less at one time"
            )
        return payload

    def _failed(self, handler: Handler, caller: str, error: BaseException) -> bytes:
        why = words_of(error)
        self._context.status.count("calls_failed")
        self._context.status.count(f"calls_failed.{handler.name}")
        self._log.error("the call %s of %s failed: %s", handler.name, caller, why, exc_info=error)
        return encode_result(Failure.internal(f"the call {handler.name} failed: {why}"))


def _written(handler: Handler, answer: Any) -> bytes:
    """The JSON of an answer, if it is what the handler promises; :class:`ValueError` otherwise."""
    try:
        checked = handler.check(answer)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"it answered what it did not promise: {error}") from error
    return encode_result(checked)


def _guarded(handler: Handler, arguments: Mapping[str, Any]) -> bytes | BaseException:
    """Call it in a thread; what it raises comes back as a value, since a loop takes some exceptions for its own."""
    try:
        return _written(handler, handler.function(**arguments))
    except BaseException as error:  # noqa: BLE001  (see above)
        return error
