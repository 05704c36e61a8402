"""A bundle on its way, cut at any byte: given up it changes nothing, resumed over the next link it is exact.

That a bundle as a whole brings any tree to any other, and that no part of one is taken for it, is proved in Rust. Here
a worker pulls it, out of a master's generations or out of what it reported of its own.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.steps import Ends, below, two_ends

from outrider.errors import ConnectionLostError
from outrider.protocol import generations as g
from outrider.protocol.commands import Command
from outrider.store.tree import BundleFeed
from outrider.worker.fetching import Fetch
from outrider.world import ThreadPool

PATHS = st.sampled_from(["a", "b", "x/a", "x/b", "x/y/c", "e\u0301", "long/" * 9 + "z"])
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda seed, size: Random(seed).randbytes(size), st.integers(0, 3), st.integers(1, 400)),
    st.builds(lambda at: Random(9).randbytes(90_000) + b"!" * at + Random(10).randbytes(90_000), st.integers(0, 9)),
    st.builds(lambda at: b"a line\n" * at + b"another\n" + b"a line\n" * 300, st.integers(0, 300)),
)
TREES = st.dictionaries(PATHS, CONTENTS, max_size=6)


class Link:
    """A session with a master that has the whole bundle; ``lost`` ones answer nothing any more."""

    def __init__(self, bundle: bytes, *, lost: bool = False) -> None:
        self._bundle = bundle
        self._lost = lost

    def request(self, _: Command, payload: bytes) -> asyncio.Future[bytes]:
        answer = asyncio.get_running_loop().create_future()
        offset = g.decode_read(payload).offset
        part = self._bundle[offset : offset + g.PART_BYTES]
        if self._lost:
            answer.set_exception(ConnectionLostError("the link is lost"))
        else:
            answer.set_result(g.encode_part(part, last=offset + len(part) >= len(self._bundle)))
        return answer


def fetch_of(ends: Ends, bundle: bytes, cut: int) -> Fetch:
    """What a worker has of a bundle when it has ``cut`` bytes of it; the apply runs from the first on."""
    feed, root = BundleFeed(1000), ends.new.root
    applying = asyncio.ensure_future(ends.worker.apply_bundle(feed, ends.old, root))
    ticket = g.ticket_of(bytes.fromhex(ends.old.root), bytes.fromhex(root))
    offer = g.Offer(2, bytes.fromhex(root), b"l" * 16, ticket, bundle[:cut], whole=cut >= len(bundle))
    fetch = Fetch(offer, feed, lambda: applying, ends.ports)
    fetch._begun()
    return fetch


async def lost(fetch: Fetch, bundle: bytes) -> None:
    with pytest.raises(ConnectionLostError):
        await fetch.pull(Link(bundle, lost=True))  # type: ignore[arg-type]


@given(TREES, TREES, st.booleans(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_bundle_is_exact_wherever_a_link_cut_it(
    old: dict[str, bytes], new: dict[str, bytes], known: bool, data: st.DataObject
) -> None:
    async def whole(folder: Path) -> None:
        async with two_ends(folder, old, new, ThreadPool(4)) as ends:
            bundle = await (ends.known() if known else ends.unknown())
            cuts = st.integers(0, len(bundle) - 1)
            given_up = fetch_of(ends, bundle, data.draw(cuts))
            await lost(given_up, bundle)
            await given_up.give_up()
            assert below(ends.home) == old
            resumed = fetch_of(ends, bundle, data.draw(cuts))
            await lost(resumed, bundle)
            assert below(ends.home) == old
            applied = await resumed.pull(Link(bundle))  # type: ignore[arg-type]
            assert below(ends.home) == new
            assert applied.manifest is not None
            assert applied.manifest.root == ends.new.root == (await ends.worker.scan(rehash=True)).manifest.root

    in_a_folder(whole)


def in_a_folder(work: Any) -> None:
    """Run ``work`` on a folder that is gone afterwards."""
    with TemporaryDirectory() as folder:
        asyncio.run(work(Path(folder)))
