"""The settings and the home, as the doctor sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.patients import patient, running, states

from outrider.doctor import folder


def test_settings_with_which_a_node_can_start_are_good(tmp_path: Path) -> None:
    assert states(list(folder.settings(patient(tmp_path)))) == ["good"]


def test_threat_12_a_key_of_hex_digits_is_a_warning_and_no_more(tmp_path: Path) -> None:
    found = list(folder.settings(patient(tmp_path, link__key="0123456789abcdef" * 2)))
    assert states(found) == ["warning", "good"]
    assert "hex digits only" in found[0].what


def test_what_a_role_lacks_is_named_key_by_key(tmp_path: Path) -> None:
    found = list(folder.settings(patient(tmp_path, link__nodes="", node__name="master")))
    assert states(found) == ["bad", "bad"]
    assert {one.what.split(":")[0].split(" ")[0] for one in found} == {"link.nodes", "node.name"}


def test_a_home_of_its_own_is_good(tmp_path: Path) -> None:
    (tmp_path / ".outrider").mkdir(mode=0o770)
    assert states(list(folder.home(patient(tmp_path)))) == ["good"]


def test_a_home_that_is_no_folder_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    looked = patient(tmp_path)
    looked = looked._replace(settings=patient(tmp_path, node__home=str(tmp_path / "absent")).settings)
    found = list(folder.home(looked))
    assert states(found) == ["bad"]
    assert "is no folder" in found[0].what


def test_a_state_that_everybody_may_write_is_bad(tmp_path: Path) -> None:
    own = tmp_path / ".outrider"
    own.mkdir()
    own.chmod(0o777)
    found = list(folder.home(patient(tmp_path)))
    assert [(one.state, one.remedy) for one in found] == [("bad", f"chmod o-w {own}")]


def test_a_home_in_which_everybody_may_put_another_state_is_bad(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".outrider").mkdir(parents=True)
    home.chmod(0o777)
    found = list(folder.home(patient(home)))
    assert [(one.state, one.remedy) for one in found] == [("bad", f"chmod o-w {home}")]


@pytest.mark.parametrize(
    ("name", "state", "says"),
    [
        ("peers.json", "bad", "remove it"),
        ("rotation.json", "bad", "remove it"),
        ("standing.json", "warning", "cannot be read"),
    ],
)
def test_threat_40_a_small_file_that_is_damaged_is_told(tmp_path: Path, name: str, state: str, says: str) -> None:
    (tmp_path / ".outrider").mkdir()
    (tmp_path / ".outrider" / name).write_bytes(bytes(512))
    found = list(folder.home(patient(tmp_path)))
    assert states(found) == [state]
    assert says in found[0].what


def test_what_an_accident_left_is_told_until_it_is_removed(tmp_path: Path) -> None:
    own = tmp_path / ".outrider"
    own.mkdir()
    for name in ("journal.damaged", "outbox.db.damaged", "journal"):
        (own / name).write_bytes(b"")
    assert states(list(folder.home(patient(tmp_path)))) == ["warning"] * 3
    of_one_that_runs = list(folder.home(patient(tmp_path, status=running())))
    assert states(of_one_that_runs) == ["warning"] * 2, "an apply may be going on"
