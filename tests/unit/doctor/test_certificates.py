"""Certificates and the authority as the doctor finds them on the disk; it writes nothing there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.support.authority import FOLDER, authority_at, certify
from tests.support.patients import patient, states

from outrider.doctor import Finding, certificates
from outrider.doctor.patient import Role
from outrider.store import ledger as ledgers
from outrider.store.authority import KEY, NODE_DAYS, Authority
from outrider.store.identity import NODE, TRUST, identity_of

NOW = time.time()
DAY_S = 86_400.0


def found(home: Path, role: Role = "worker", name: str = "worker1", **given: str) -> list[Finding]:
    return list(certificates.look(patient(home, role, None, node__name=name, **given)))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authority_at(tmp_path / "m", now=NOW)


def of_worker(authority: Authority, home: Path, *, now: float = NOW, days: float = NODE_DAYS) -> Path:
    certify(authority, home, "worker1", now=now, days=days)
    return home


def test_a_node_that_never_ran_has_none_and_gets_none_here(tmp_path: Path) -> None:
    assert states(found(tmp_path)) == ["good"]
    assert not (tmp_path / ".outrider").exists()


def test_without_an_authority_the_node_s_own_is_good_unless_tls_comes_first(tmp_path: Path) -> None:
    (tmp_path / ".outrider/identity").mkdir(parents=True)
    identity_of(tmp_path, bytes(range(32)))
    assert states(found(tmp_path)) == ["good"]
    bad = found(tmp_path, link__tls="required")
    assert [(one.state, one.remedy) for one in bad] == [
        ("bad", "at the master: outrider ca token worker1; then here: outrider join TOKEN")
    ]
    assert found(tmp_path, link__require="base") == []


def test_a_certificate_of_the_authority_is_good_and_says_how_long(tmp_path: Path, authority: Authority) -> None:
    good = found(of_worker(authority, tmp_path / "w"))
    assert states(good) == ["good"]
    assert good[0].what.startswith("of the worker worker1, good until ")
    assert "(365 days)" in good[0].what or "(364 days)" in good[0].what


@pytest.mark.parametrize(
    ("made", "state", "says"),
    [
        (-300, "warning", "the next one was due when a third of its time was left"),
        (-400, "bad", "of this node: its certificate has expired on "),
        (+2, "bad", "of this node: its certificate is not valid before "),
    ],
)
def test_threat_08_dates_are_held_against_the_clock(tmp_path: Path, made: int, state: str, says: str) -> None:
    authority = authority_at(tmp_path / "m", now=NOW - 500 * DAY_S)
    told = found(of_worker(authority, tmp_path / "w", now=NOW + made * DAY_S, days=365))
    assert states(told) == [state]
    assert says in told[0].what


def test_threat_08_one_of_another_authority_is_bad_where_only_the_authority_s_are_taken(
    tmp_path: Path, authority: Authority
) -> None:
    home = of_worker(authority_at(tmp_path / "other", seed=2, now=NOW), tmp_path / "w")
    (home / TRUST).write_text(authority.trust().text)
    assert states(found(home)) == ["bad"]
    assert states(found(home, link__tls="any")) == ["warning"]


def test_threat_14_a_revoked_certificate_is_bad(tmp_path: Path, authority: Authority) -> None:
    home = of_worker(authority, tmp_path / "w")
    authority.revoke("worker1", NOW)
    (home / TRUST).write_text(authority.trust().text)
    told = found(home)
    assert [(one.state, one.what) for one in told] == [("bad", "of this node: its certificate has been revoked")]


def test_threat_15_one_that_names_another_node_or_role_is_bad(tmp_path: Path, authority: Authority) -> None:
    home = of_worker(authority, tmp_path / "w")
    assert states(found(home, name="worker2")) == ["bad", "good"]
    told = found(home, role="master")
    assert states(told) == ["bad", "good"]
    assert told[0].what == "it is of the worker worker1, and this node is the master worker1"


def test_an_authority_that_ends_before_a_node_s_certificate_would_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "m" / FOLDER, Random(1))
    authority.create("wazuh", NOW, days=100)
    told = found(of_worker(authority, tmp_path / "w"))
    assert states(told) == ["good", "warning"]
    assert told[1].remedy == "at the master: outrider ca rotate"


@pytest.mark.parametrize(
    ("file", "mode", "says"),
    [(NODE, 0o640, "others may open it"), (TRUST, 0o666, "others may write it")],
)
def test_files_that_others_may_open_or_write_are_bad_with_the_command(
    tmp_path: Path, authority: Authority, file: Path, mode: int, says: str
) -> None:
    home = of_worker(authority, tmp_path / "w")
    (home / file).chmod(mode)
    told = found(home)
    assert states(told) == ["bad", "good"]
    assert says in told[0].what
    assert told[0].remedy.startswith(f"chmod {'600' if file == NODE else '644'} {home / file}")


def test_a_file_that_is_damaged_is_bad_and_named(tmp_path: Path, authority: Authority) -> None:
    home = of_worker(authority, tmp_path / "w")
    (home / TRUST).write_text("-----BEGIN")
    told = found(home)
    assert states(told) == ["bad"]
    assert str(home / TRUST) in told[0].what


# the authority


def at_the_master(authority: Authority, home: Path) -> list[Finding]:
    certify(authority, home, "master-node", "master", now=NOW)
    return found(home, "master", "master-node")


def test_the_authority_is_good_and_says_how_many(tmp_path: Path, authority: Authority) -> None:
    of_worker(authority, tmp_path / "w")
    told = at_the_master(authority, tmp_path / "m")
    assert states(told) == ["good", "good"]
    assert told[1].what.endswith(": 2 good, 0 revoked")


def test_a_node_that_has_not_renewed_is_named_at_the_authority(tmp_path: Path) -> None:
    authority = authority_at(tmp_path / "m", now=NOW - 500 * DAY_S)
    of_worker(authority, tmp_path / "w", now=NOW - 320 * DAY_S)
    told = at_the_master(authority, tmp_path / "m")
    assert states(told) == ["good", "warning"]
    assert told[1].what.startswith("the worker worker1: its certificate is good until ")


def test_during_a_replacement_those_who_have_not_heard_of_it_are_named(tmp_path: Path, authority: Authority) -> None:
    home = of_worker(authority, tmp_path / "w")
    certify(authority, tmp_path / "m", "master-node", "master", now=NOW)
    authority.rotate("wazuh", NOW, 7 * DAY_S)
    told = found(tmp_path / "m", "master", "master-node")
    assert states(told) == ["good", "warning"], "the master shows its old one on purpose"
    assert "its certificate is of the old authority, which goes at " in told[1].what
    (home / TRUST).write_text(authority.trust().text)
    assert states(found(home)) == ["warning"]


def test_threat_14_what_a_crash_kept_out_of_the_list_is_told_and_the_remedy_mends_it(
    tmp_path: Path, authority: Authority
) -> None:
    of_worker(authority, tmp_path / "w")
    before = authority.trust().text
    authority.revoke("worker1", NOW)
    (tmp_path / "m" / FOLDER / "trust.pem").write_text(before)
    told = at_the_master(authority, tmp_path / "m")
    assert states(told) == ["good", "bad"]
    serial = told[1].remedy.removeprefix("outrider ca revoke ")
    assert [one.name for one in authority.revoke(serial, NOW)] == ["worker1"]
    assert states(found(tmp_path / "m", "master", "master-node")) == ["good", "good"]
    assert authority.revoke(serial, NOW) == [], "once it is in the list there is nothing left to revoke"


def without(home: Path) -> None:
    (home / FOLDER / KEY).unlink()


def of_another(home: Path) -> None:
    other = authority_at(home.parent / "other", seed=2, now=NOW)
    (home / FOLDER / KEY).write_bytes((other.folder / KEY).read_bytes())


def cut(home: Path) -> None:
    (home / FOLDER / ledgers.FILE).write_bytes(b'{"issued": [')


@pytest.mark.parametrize(("harm", "says"), [(without, KEY), (of_another, KEY), (cut, ledgers.FILE)])
def test_a_key_that_is_missing_or_another_and_a_ledger_that_is_cut_are_bad(
    tmp_path: Path, authority: Authority, harm: Callable[[Path], None], says: str
) -> None:
    certify(authority, tmp_path / "m", "master-node", "master", now=NOW)
    harm(tmp_path / "m")
    told = found(tmp_path / "m", "master", "master-node")
    assert states(told) == ["good", "bad"]
    assert says in told[1].what


def test_the_authority_s_key_that_others_may_read_is_bad(tmp_path: Path, authority: Authority) -> None:
    certify(authority, tmp_path / "m", "master-node", "master", now=NOW)
    (tmp_path / "m" / FOLDER / KEY).chmod(0o644)
    assert states(found(tmp_path / "m", "master", "master-node")) == ["bad", "good", "good"]


def test_the_ledger_s_own_words_are_read_as_they_are_written(tmp_path: Path, authority: Authority) -> None:
    of_worker(authority, tmp_path / "w")
    (one,) = authority.ledger().issued
    assert not authority.trust().lists(one.serial)
    authority.revoke("worker1", NOW)
    assert authority.trust().lists(one.serial)
    assert msgspec.structs.asdict(authority.ledger().issued[0])["revoked"] == NOW
