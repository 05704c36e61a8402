"""``outrider systemd`` prints a unit; what differs from machine to machine is right in it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from outrider.cli import main


def unit(*arguments: str) -> list[str]:
    done = CliRunner().invoke(main, ["systemd", *arguments])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


@pytest.mark.parametrize("role", ["worker", "master"])
def test_by_itself_systemd_makes_user_and_home_and_hands_over_the_key(role: str) -> None:
    lines = unit(role, "--systemd", "255")
    assert "Type=notify-reload" in lines
    assert {"DynamicUser=yes", f"StateDirectory=outrider-{role}", "CapabilityBoundingSet="} <= set(lines)
    assert "LoadCredential=outrider.key:/etc/outrider/key" in lines
    (command,) = [line for line in lines if line.startswith("ExecStart=")]
    assert command.endswith(f"outrider {role} --config /etc/outrider/outrider.toml")
    assert not any("$" in line for line in lines)


def test_a_home_and_a_user_of_one_s_own() -> None:
    lines = unit("worker", "--home", "/var/ossec", "--user", "wazuh", "--no-key", "--systemd", "255")
    assert {"User=wazuh", "ReadWritePaths=/var/ossec"} <= set(lines)
    assert not any(line.startswith(("LoadCredential", "StateDirectory", "DynamicUser")) for line in lines)
    assert any(line.endswith("--home /var/ossec") for line in lines)


def test_root_keeps_what_it_takes_to_give_files_away() -> None:
    lines = unit("worker", "--home", "/var/ossec", "--user", "root")
    assert "CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER" in lines


def test_a_systemd_that_cannot_wait_for_a_reload_sends_the_signal() -> None:
    lines = unit("master", "--systemd", "252")
    assert {"Type=notify", "ExecReload=/bin/kill -HUP $MAINPID"} <= set(lines)


def test_homes_of_people_are_seen_where_a_path_lies_there() -> None:
    assert "ProtectHome=read-only" in unit("master", "--config", "/home/me/outrider.toml")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--home", "here"),
        ("--config", "/etc/a file"),
        ("--key", "/etc/key\nUser=root"),
        ("--user", "wazuh"),
        ("--user", "a b", "--home", "/srv"),
    ],
)
def test_what_no_unit_could_hold_is_refused(wrong: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, ["systemd", "worker", *wrong])
    assert done.exit_code == 2
    assert "Traceback" not in done.output
