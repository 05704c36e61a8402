"""The command line as its users start it: a process with its own output and exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = (str(Path(sys.executable).with_name("outrider")),)
MODULE = (sys.executable, "-m", "outrider")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"LANG": "C.UTF-8"},
    )


@pytest.mark.parametrize("outrider", [SCRIPT, MODULE], ids=["script", "module"])
def test_the_command_tells_its_version(outrider: tuple[str, ...]) -> None:
    done = run(*outrider, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("outrider ")


def test_a_new_key_in_a_file_makes_valid_settings(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(run(*SCRIPT, "keygen").stdout, "ascii")
    key.chmod(0o600)
    done = run(*SCRIPT, "config", "check", "--role", "master", "--home", tmp_path, "--set", f"link.key_file={key}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "The settings are valid.\n", "")


def test_wrong_settings_are_lines_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "outrider.toml"
    path.write_text("[node]\nname = 3\nhome = \n", "utf-8")
    done = run(*SCRIPT, "worker", "--config", path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"outrider: settings file {path} is not TOML")
    assert "line 3" in line


def test_a_settings_file_that_is_nested_too_deep_is_a_line_as_well(tmp_path: Path) -> None:
    path = tmp_path / "outrider.toml"
    path.write_text("a = " + "[" * 3000, "utf-8")
    for given in (("--config", path), ("--set", f"link.nodes={'[' * 3000}"), ("--set", f"kinds.x.y={'[' * 3000}")):
        done = run(*SCRIPT, "config", "check", *given)
        assert (done.returncode, done.stdout) == (2, "")
        assert "it is nested too deep" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    done = subprocess.run(
        f"set -o pipefail; {SCRIPT[0]} config show | head -c 1",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "n"
    assert "Traceback" not in done.stderr


def test_a_master_runs_until_sigterm_and_keeps_its_home_to_itself(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("Zk3_" * 8, "ascii")
    key.chmod(0o600)
    settings = ("link.port=0", "link.bind_addr=127.0.0.1", f"link.key_file={key}")
    command = (*SCRIPT, "master", "--home", str(tmp_path), *(part for pair in settings for part in ("--set", pair)))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={"LANG": "C.UTF-8"}) as first:
        assert first.stderr is not None
        try:
            started = any("listening on 127.0.0.1:" in line for line in iter(first.stderr.readline, ""))
            second = run(*command)
        finally:
            first.send_signal(signal.SIGTERM)
        rest = first.stderr.read()
    assert started
    assert (first.returncode, "Traceback" in rest) == (0, False)
    assert (second.returncode, second.stderr.count("\n")) == (2, 1)
    assert f"another node runs on {tmp_path}" in second.stderr
