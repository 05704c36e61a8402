"""``outrider explain``, and the codes that errors of commands end with."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.explained import EXPLANATIONS


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_code_is_explained() -> None:
    done = run("explain", "out-1702")
    assert done.exit_code == 0
    assert done.stdout.startswith("OUT-1702: The disk, or a quota, is full\n")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["cause", "meanwhile", "remedy", "seen"]


def test_programs_get_json() -> None:
    assert json.loads(run("explain", "3022", "--json").stdout)["code"] == "3022"
    assert [one["code"] for one in json.loads(run("explain", "--json").stdout)] == list(EXPLANATIONS)


def test_without_a_code_all_are_listed() -> None:
    listed = run("explain").stdout
    assert all(code in listed for code in EXPLANATIONS)


def test_an_unknown_code_is_an_error_with_a_code() -> None:
    done = run("explain", "OUT-99\n99")
    assert (done.exit_code, "[OUT-1906]" in done.stderr) == (1, True)


def test_every_line_of_an_error_has_its_code() -> None:
    done = run("worker", "--set", "node.nane=x", "--set", "link.port=99999")
    told = [line.rpartition(" ")[2] for line in done.stderr.splitlines()]
    assert (done.exit_code, told) == (2, ["[OUT-1004]", "[OUT-1005]"])
    lacking = run("worker").stderr
    assert all(code in lacking for code in ("[OUT-1101]", "[OUT-1008]", "[OUT-1007]"))


def test_with_json_an_error_is_json(tmp_path: Path) -> None:
    done = run("status", "--json", "--home", str(tmp_path))
    (told,) = json.loads(done.stderr)["errors"]
    assert (done.exit_code, told["code"]) == (3, "OUT-1208")
    assert "no node answers" in told["text"]
    checked = run("config", "check", "--json", "--set", "node.nane=x")
    assert json.loads(checked.stdout)["codes"] == ["OUT-1004"]


def test_a_wrong_command_line_has_a_code_and_a_group_shows_its_help() -> None:
    for arguments in (("worker", "--foo"), ("--foo",), ("nothing",), ("explain", "a", "b")):
        done = run(*arguments)
        assert (done.exit_code, done.stderr.rstrip().endswith("[OUT-1902]")) == (2, True)
    assert "OUT-1902" not in run("key").output


def test_what_the_system_refuses_has_a_code(tmp_path: Path) -> None:
    done = run("agents", "import", str(tmp_path / "none"), "--home", str(tmp_path))
    assert "[OUT-1902]" in done.stderr  # click opens the file
    (tmp_path / "queue").write_text("a file", "utf-8")
    assert "[OUT-" in run("scan", str(tmp_path / "queue")).stderr
