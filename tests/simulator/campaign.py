"""Many seeds over several processes: what broke, what it cost, and how far it has come, in a file that goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from hashlib import blake2b
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec import Struct
from tests.simulator.light import light
from tests.simulator.seeds import Outcome, run_seed

import outrider

_CHUNK = 20
_MEMORY = Path("/dev/shm")


class Tally(Struct):
    """What is known of a campaign; ``code`` tells the product and the simulator that it was run with."""

    code: str = ""
    seeds: int = 0
    cpu_s: float = 0.0
    virtual_s: float = 0.0
    messages: int = 0
    broken: dict[int, str] = {}
    done: list[tuple[int, int]] = []

    def take(self, outcomes: list[Outcome]) -> None:
        """One chunk more."""
        self.done.append((outcomes[0].seed, outcomes[-1].seed))
        for one in outcomes:
            self.seeds += 1
            self.cpu_s += one.cpu_s
            self.virtual_s += one.virtual_s
            self.messages += one.messages
            if one.broken:
                self.broken[one.seed] = one.broken


def told(seed: int, broken: str) -> str:
    """What a person needs of a seed that failed."""
    return f"seed {seed}: {broken}\n    replay it with: make simulate SEEDS={seed}..{seed}"


def code_digest() -> str:
    """Of everything that decides what a seed does."""
    digest = blake2b(digest_size=16)
    package = Path(outrider.__file__).parent
    for folder in (package, Path(__file__).parent, Path(__file__).parent.parent / "support"):
        for file in sorted([*folder.rglob("*.py"), *folder.glob("_native*.so")]):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def load(file: Path) -> Tally:
    """How far an earlier run has come; nothing of it counts once the code is another."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        tally = msgspec.json.decode(file.read_bytes(), type=Tally)
        if tally.code == code_digest():
            return tally
    return Tally(code=code_digest())


def save(file: Path, tally: Tally) -> None:
    """Keep how far this run has come, whole at every moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(tally))
    fresh.replace(file)


def campaign(seeds: range, tally: Tally, processes: int = 0, chunk: int = _CHUNK) -> Generator[list[Outcome]]:
    """Run what ``tally`` has not done of ``seeds``; each chunk is taken into it, then given out."""
    done = set(tally.done)
    cut = [range(first, min(first + chunk, seeds.stop)) for first in range(seeds.start, seeds.stop, chunk)]
    chunks = [one for one in cut if (one[0], one[-1]) not in done]
    processes = min(processes or os.cpu_count() or 1, max(1, len(chunks)))
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder,
        ProcessPoolExecutor(processes, context, initializer=_begin) as pool,
    ):
        waiting = {pool.submit(_run, folder, chunk) for chunk in chunks}
        try:
            for outcomes in _as_they_end(waiting):
                tally.take(outcomes)
                yield outcomes
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _as_they_end(waiting: Iterable[Future[list[Outcome]]]) -> Iterator[list[Outcome]]:
    left = set(waiting)
    while left:
        ended, left = wait(left, return_when=FIRST_COMPLETED)
        for one in ended:
            yield one.result()


def _begin() -> None:
    """Whoever interrupts the campaign lets each process finish its chunk."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(folder: str, chunk: range) -> list[Outcome]:
    """Run a chunk in a process of its own: looking for what its seeds leave would cost a tenth of their time."""
    reads, writes = os.pipe()
    child = os.fork()  # nothing has started a thread here: this process runs no seed itself
    if not child:
        _run_here(Path(folder) / f"chunk{chunk.start}", chunk, writes)
    os.close(writes)
    with open(reads, "rb") as told:  # noqa: PTH123  (a pipe)
        outcomes = told.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the process of the seeds {chunk[0]}..{chunk[-1]} ended with the status {status}")
    return msgspec.msgpack.decode(outcomes, type=list[Outcome])


def _run_here(home: Path, chunk: range, writes: int) -> NoReturn:
    status = 1
    try:
        with open(writes, "wb") as tells, light(home):
            tells.write(msgspec.msgpack.encode([run_seed(home, seed) for seed in chunk]))
        status = 0
    except BaseException:  # noqa: BLE001  (this process ends here, whatever it is)
        traceback.print_exc()
    finally:
        os._exit(status)
