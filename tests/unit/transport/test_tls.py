"""TLS on a link that stands, over real sockets: what it carries, and which side refuses what."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from pathlib import Path

import pytest
from tests.support.tls import RING, Far, foreign_context, identities, near_side, turn

from outrider.errors import ConnectionLostError, TransportError
from outrider.protocol.commands import ECHO
from outrider.protocol.frame import pack_frame
from outrider.transport.answers import Reply

REFUSED = "this node refuses the peer's TLS: "
TLS_1_1, TLS_1_2 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2


def test_what_was_asked_before_and_during_the_turn_is_answered_inside(tmp_path: Path) -> None:
    async def story() -> None:
        near_id, far_id, _ = identities(tmp_path)
        late = asyncio.Event()

        async def later(payload: bytes) -> Reply:
            await late.wait()
            return Reply(payload)

        async with Far(far_id, near_id.certificate) as far:
            near = await near_side(far.port, {ECHO: later})
            assert await near.channel.request(ECHO, b"clear", 20) == b"clear"
            theirs = far.sides[0].channel
            before = theirs.request(ECHO, b"asked in clear", 20)
            turning = asyncio.ensure_future(near.channel.start_tls(turn(near_id, far_id.certificate), 20))
            late.set()
            during = near.channel.request(ECHO, b"asked meanwhile", 20)
            await turning
            assert await before == b"asked in clear"
            assert await during == b"asked meanwhile"
            made = near.channel.stream
            assert made is not None
            assert made.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert far.turned.is_set()
            sizes = (0, 1, 20_000, 300_000, 6_000_000, 12_000_000)
            answers = await asyncio.gather(*(near.channel.request(ECHO, bytes(size), 20) for size in sizes))
            assert [len(answer) for answer in answers] == list(sizes)
            near.channel.close("done")
            assert await far.reason() == "the peer closed the connection"

    asyncio.run(story())


def test_both_ends_speak_first_inside_without_waiting_for_the_other(tmp_path: Path) -> None:
    async def story() -> None:
        near_id, far_id, _ = identities(tmp_path)
        async with Far(far_id, near_id.certificate) as far:
            near = await near_side(far.port, {ECHO: Reply})
            turning = asyncio.ensure_future(near.channel.start_tls(turn(near_id, far_id.certificate), 20))
            await asyncio.sleep(0)
            asked = [near.channel.request(ECHO, b"%d" % number, 20) for number in range(100)]
            await turning
            assert await far.sides[0].channel.request(ECHO, b"from there", 20) == b"from there"
            assert await asyncio.gather(*asked) == [b"%d" % number for number in range(100)]
            near.channel.close("done")

    asyncio.run(story())


@pytest.mark.parametrize("who", ["near", "far"])
def test_threat_08_the_certificate_of_another_is_refused_by_whoever_sees_it(tmp_path: Path, who: str) -> None:
    async def story() -> None:
        near_id, far_id, other = identities(tmp_path)
        async with Far(far_id, (other if who == "near" else near_id).certificate) as far:
            near = await near_side(far.port)
            trusted = (other if who == "far" else far_id).certificate
            try:
                await near.channel.start_tls(turn(near_id, trusted), 20)
                await near.channel.request(ECHO, b"x", 20)  # whoever was refused hears of it only after its own part
            except (TransportError, ConnectionLostError):
                pass
            else:
                pytest.fail("a stranger was believed")
            here, there = await near.channel.closed(), await far.reason()
            refused, refuses = (here, there) if who == "near" else (there, here)
            assert refuses == REFUSED + "its certificate is not the one that it named"
            assert refused in {
                "the peer refuses this node's TLS: the certificate is not the one that was named",
                "the peer closed the connection as TLS began",
                "the peer closed the connection",  # asyncio's server does not always bring the alert out
            }
            assert not near.channel.is_open
            assert not far.turned.is_set() or who == "near"

    asyncio.run(story())


async def foreign_end(far: Far, context: ssl.SSLContext | None, data: bytes = b"") -> None:
    """Ask for TLS by hand, then speak TLS of another make, or ``data``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
    writer.write(pack_frame(1, b"start_tls", RING.seal(b"", 0)))
    await reader.readuntil(b"ok ---------")
    await reader.readexactly(100)
    try:
        if context is not None:
            await writer.start_tls(context)
        else:
            writer.write(data)
        async with asyncio.timeout(30):
            await reader.read()
    except OSError:
        pass
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pack_frame(2, b"echo", RING.seal(b"once more", 0)), "it sends something else than TLS"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "it sends something else than TLS"),
        (b"\x16\x03\x01\x00\x05hello", "it sends something else than TLS"),
    ],
)
def test_threat_08_plain_bytes_in_the_place_of_tls_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    async def story() -> None:
        near_id, far_id, _ = identities(tmp_path)
        async with Far(far_id, near_id.certificate) as far:
            await foreign_end(far, None, data)
            assert await far.reason() == REFUSED + reason
            assert [name for name, _ in far.sides[0].requests] == ["start_tls"]

    asyncio.run(story())


@pytest.mark.parametrize("version", [TLS_1_1, TLS_1_2])
def test_threat_08_an_older_tls_is_refused(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async def story() -> None:
        near_id, far_id, _ = identities(tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context = foreign_context(near_id, most=version)
        async with Far(far_id, near_id.certificate) as far:
            await foreign_end(far, context)
            assert await far.reason() == REFUSED + "it offers no TLS 1.3"

    asyncio.run(story())


def test_threat_08_tls_without_a_certificate_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        near_id, far_id, _ = identities(tmp_path)
        async with Far(far_id, near_id.certificate) as far:
            await foreign_end(far, foreign_context(None))
            assert await far.reason() == REFUSED + "it shows no certificate"

    asyncio.run(story())


def test_threat_09_frames_and_a_whole_handshake_that_were_captured_open_nothing(tmp_path: Path) -> None:
    """What one worker said on one connection, said again on another, byte for byte."""

    async def story() -> None:
        near_id, far_id, _ = identities(tmp_path)
        async with Far(far_id, near_id.certificate) as far:
            said = bytearray()
            near = await near_side(far.port)
            raw = near.channel.stream
            assert raw is not None
            write = raw.write
            raw.write = lambda data: (said.extend(data), write(data))[1]  # type: ignore[method-assign,func-returns-value]
            await near.channel.start_tls(turn(near_id, far_id.certificate), 20)
            assert await near.channel.request(ECHO, b"secret" * 100, 20) == b"secret" * 100
            near.channel.close("done")
            await near.channel.closed()
            assert b"secret" not in said
            inside = bytes(said[120:])
            assert inside.startswith(b"\x16\x03\x01")  # from the first byte of the client's hello on
            await foreign_end(far, None, inside)
            async with asyncio.timeout(30):
                reason = await far.sides[1].channel.closed()
            assert reason == REFUSED + "a record was changed on its way, or sent twice"
            assert [name for name, _ in far.sides[1].requests] == ["start_tls"]

    asyncio.run(story())


def test_a_certificate_that_cannot_be_read_ends_the_link_with_a_word(tmp_path: Path) -> None:
    async def story() -> None:
        near_id, far_id, _ = identities(tmp_path)
        async with Far(far_id, near_id.certificate) as far:
            near = await near_side(far.port)
            with pytest.raises(ConnectionLostError, match="TLS cannot be made: the peer's certificate cannot be read"):
                await near.channel.start_tls(turn(near_id, "no certificate"), 20)
            assert await far.reason() == "the peer closed the connection as TLS began"

    asyncio.run(story())
