"""``outrider ca`` and ``outrider join``: what they write, and the mistakes that they name. No node runs here."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.cli.durations import duration
from outrider.cli.status import _certificate
from outrider.protocol.joining import Token
from outrider.status import Certificate

DAY_S = 86_400.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "master").mkdir()
    return tmp_path / "master"


@pytest.fixture
def made(home: Path) -> Path:
    result = run("ca", "init", "--home", str(home), "--set", "node.name=m")
    assert result.exit_code == 0, result.output
    return home


def run(*words: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, words, env={}, input=text)


def listed(home: Path) -> list[tuple[str, str, float | None]]:
    found = json.loads(run("ca", "list", "--json", "--home", str(home)).stdout)["issued"]
    return [(one["name"], one["role"], one["revoked"]) for one in found]


def test_init_makes_the_authority_and_the_master_s_certificate(made: Path) -> None:
    assert listed(made) == [("m", "master", None)]
    assert (made / ".outrider/identity/node.pem").is_file()
    again = run("ca", "init", "--home", str(made))
    assert again.exit_code == 1
    assert "holds an authority already; `outrider ca rotate` replaces it" in again.stderr


def test_an_authority_may_lie_apart_from_any_home_with_a_passphrase(tmp_path: Path) -> None:
    secret = tmp_path / "pass"
    secret.write_text("open sesame\n")
    apart = ("--folder", str(tmp_path / "ca"), "--passphrase-file", str(secret))
    assert run("ca", "init", *apart).exit_code == 0
    assert b"ENCRYPTED" in (tmp_path / "ca/ca.key").read_bytes()
    assert run("ca", "issue", "w", "--out", str(tmp_path / "w"), *apart).exit_code == 0
    locked = run("ca", "issue", "w2", "--out", str(tmp_path / "w2"), "--folder", str(tmp_path / "ca"))
    assert locked.exit_code == 1
    assert "name the file with its passphrase (ca.passphrase_file)" in locked.stderr


def test_issue_writes_two_files_for_a_machine_that_cannot_reach_the_master(made: Path, tmp_path: Path) -> None:
    result = run("ca", "issue", "w", "--out", str(tmp_path / "w"), "--days", "30", "--home", str(made))
    assert result.stdout.startswith(f"move {tmp_path}/w/node.pem and {tmp_path}/w/trust.pem to .outrider/identity of")
    assert stat.S_IMODE((tmp_path / "w/node.pem").stat().st_mode) == 0o600
    assert listed(made)[1] == ("w", "worker", None)


@pytest.mark.parametrize("days", ["nan", "inf", "0", "-1", "36501"])
def test_days_that_are_no_number_of_days_are_refused(made: Path, tmp_path: Path, days: str) -> None:
    result = run("ca", "issue", "w", "--out", str(tmp_path / "w"), "--days", days, "--home", str(made))
    assert (result.exit_code, "Invalid value for '--days'" in result.stderr) == (2, True)
    assert not (tmp_path / "w").exists()


def test_a_token_names_its_node_and_lives_for_its_time(made: Path) -> None:
    word = run("ca", "token", "w", "--ttl", "30m", "--home", str(made)).stdout.strip()
    assert Token.decode(word).name == "w"
    for wrong in ("0m", "forever", "1w", "-1h"):
        refused = run("ca", "token", "w", "--ttl", wrong, "--home", str(made))
        assert refused.exit_code == 2
        assert "is no time; e.g. 90s, 30m, 1h, 7d" in refused.stderr
    long = run("ca", "token", "w", "--ttl", "31d", "--home", str(made))
    assert (long.exit_code, "a token is good for 30d at most" in long.stderr) == (2, True)


@pytest.mark.parametrize("name", ["../../x", "master", "a b", "\u0430lpha"])
@pytest.mark.parametrize("command", ["issue", "token"])
def test_threat_16_a_name_is_checked_before_anything_is_built_from_it(made: Path, command: str, name: str) -> None:
    refused = run("ca", command, name, "--home", str(made))
    assert refused.exit_code == 2
    assert "is refused: use letters, digits" in refused.stderr
    assert len(listed(made)) == 1


def test_revoke_takes_a_name_or_a_serial_and_names_who_has_none(made: Path, tmp_path: Path) -> None:
    run("ca", "issue", "w", "--out", str(tmp_path / "w"), "--home", str(made))
    assert run("ca", "revoke", "w", "--home", str(made)).stdout.endswith("of the worker w\n")
    assert listed(made)[1][2] is not None
    again = run("ca", "revoke", "w", "--home", str(made))
    assert again.exit_code == 1
    assert "'w' has no certificate that is good; `outrider ca list` shows who has" in again.stderr
    assert "revoked" in run("ca", "list", "--home", str(made)).stdout


def test_threat_14_a_token_that_got_into_wrong_hands_is_revoked_by_its_name(made: Path) -> None:
    for _ in range(2):
        assert run("ca", "token", "w", "--home", str(made)).exit_code == 0
    gone = run("ca", "revoke", "w", "--home", str(made))
    assert (gone.exit_code, gone.stdout) == (0, "good no more for w: 2 tokens\n")
    assert run("ca", "revoke", "w", "--home", str(made)).exit_code == 1


def test_rotate_shows_whose_certificate_is_still_of_the_old_one(made: Path) -> None:
    nothing = run("ca", "rotate", "--finish", "--home", str(made))
    assert (nothing.exit_code, nothing.stderr) == (1, "outrider: no authority is being replaced [OUT-1405]\n")
    assert "a new authority signs now" in run("ca", "rotate", "--window", "1d", "--home", str(made)).stdout
    assert "of the old authority" in run("ca", "list", "--home", str(made)).stdout
    twice = run("ca", "rotate", "--home", str(made))
    assert "is being replaced already; `outrider ca rotate --finish` ends that at once" in twice.stderr
    assert run("ca", "rotate", "--finish", "--home", str(made)).exit_code == 0


def test_without_an_authority_every_command_says_where_to_begin(home: Path) -> None:
    for words in (("token", "w"), ("issue", "w"), ("revoke", "w"), ("rotate",), ("list",)):
        refused = run("ca", *words, "--home", str(home))
        assert refused.exit_code == 1, words
        assert "there is no authority in" in refused.stderr
        assert "`outrider ca init` makes one" in refused.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("rubbish", "--master", "127.0.0.1"), "this is no token"),
        (("TOKEN", "--set", "node.name=other", "--master", "127.0.0.1"), "the token is for w"),
        (("TOKEN",), "--master HOST[:PORT]: where is the master?"),
        (("TOKEN", "--master", "a:b:c"), "is no address; e.g. 192.0.2.10:1516"),
    ],
)
def test_join_names_a_mistake_before_it_dials(made: Path, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    word = run("ca", "token", "w", "--home", str(made)).stdout.strip()
    home = tmp_path / "w"
    home.mkdir()
    refused = run("join", *(word if one == "TOKEN" else one for one in words), "--home", str(home))
    assert refused.exit_code == 2
    assert why in refused.stderr
    assert list(home.iterdir()) == []


def test_join_needs_a_home_that_is_there(made: Path, tmp_path: Path) -> None:
    word = run("ca", "token", "w", "--home", str(made)).stdout
    assert "name the home that joins" in run("join", "-", "--master", "127.0.0.1", text=word).stderr
    nowhere = run("join", "-", "--master", "127.0.0.1", "--home", str(tmp_path / "none"), text=word)
    assert "there is no such folder; make it first" in nowhere.stderr


def test_join_says_where_nobody_answered(made: Path, tmp_path: Path) -> None:
    word = run("ca", "token", "w", "--home", str(made)).stdout.strip()
    (tmp_path / "w").mkdir()
    refused = run("join", word, "--master", "[::1]:1", "--home", str(tmp_path / "w"))
    assert refused.exit_code == 1
    assert refused.stderr.startswith("outrider: cannot join at [::1]:1: ")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), (" 7d ", 604_800)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_durations_above_zero_only() -> None:
    with pytest.raises(click.BadParameter):
        duration("0s")


@pytest.mark.parametrize(
    ("left", "line"),
    [
        (364.5, "364 days left"),
        (29.5, "29 days left; below 30 days it should have been renewed: see the log"),
        (-1, "EXPIRED; `outrider join` gives a worker a new one"),
    ],
)
def test_status_shows_the_days_that_are_left_and_warns(left: float, line: str) -> None:
    held = Certificate(name="w", serial="7", authority="aa", until=left * DAY_S)
    assert line in _certificate(held, 0)
