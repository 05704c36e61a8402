"""The command line within this process: settings, keys, and what a stranger can get wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.settings.catalogue import CATALOGUE

KEY = "Zk3_" * 8


def run(*arguments: str | Path, **environ: str) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="outrider", env=environ)


def complaints(result: Result, exit_code: int = 2) -> list[str]:
    """The lines on standard error of a command that failed as it should."""
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    assert not result.stdout
    return result.stderr.splitlines()


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    """Settings that are complete for both roles."""
    path = tmp_path / "outrider.toml"
    path.write_text(
        f'[node]\nhome = "{tmp_path}"\nname = "worker1"\n[link]\nkey = "{KEY}"\nnodes = ["192.0.2.1"]\n', "utf-8"
    )
    path.chmod(0o600)
    return path


def test_help_names_every_command() -> None:
    output = run("--help").stdout
    for command in (
        "worker",
        "master",
        "nodes",
        "health",
        "status",
        "call",
        "demo",
        "scan",
        "diff",
        "agents",
        "groups",
        "keygen",
        "config",
        "plugins",
    ):
        assert re.search(rf"^  {command} ", output, re.MULTILINE)


def test_version_is_the_package_s() -> None:
    assert re.fullmatch(r"outrider \d+\.\d+\.\d+\n", run("--version").stdout)


def test_a_new_key_is_32_word_characters_and_never_the_same() -> None:
    keys = {run("keygen").stdout for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9_]{32}\n", key) for key in keys)
    assert len(set("".join(keys))) == 64  # all 63 word characters and the newline


def test_a_new_key_is_a_valid_key_without_a_warning() -> None:
    result = run("config", "check", OUTRIDER_LINK__KEY=run("keygen").stdout.strip())
    assert (result.exit_code, result.stdout, result.stderr) == (0, "The settings are valid.\n", "")


def test_config_check_says_everything_that_is_wrong() -> None:
    lines = complaints(run("config", "check", "--set", "link.port=80", "--set", "limits.taks=1"))
    assert len(lines) == 2
    assert all(line.startswith("outrider: l") for line in lines)
    assert "did you mean limits.tasks?" in lines[0]


def test_config_check_as_json_is_for_programs(cluster_file: Path) -> None:
    good = run("config", "check", "--config", cluster_file, "--role", "worker", "--json")
    assert (good.exit_code, json.loads(good.stdout)) == (0, {"valid": True, "errors": [], "warnings": []})
    bad = run("config", "check", "--set", "link.port=x", "--json")
    assert bad.exit_code == 2
    outcome = json.loads(bad.stdout)
    assert not outcome["valid"]
    assert outcome["errors"][0].startswith("link.port")


def test_config_check_for_a_role_names_what_the_role_lacks() -> None:
    lines = complaints(run("config", "check", "--role", "worker"))
    assert {line.split()[1].rstrip(":") for line in lines} == {"link.key", "link.nodes", "node.home"}
    assert len(complaints(run("config", "check", "--role", "master"))) == 2


def test_warnings_go_to_standard_error() -> None:
    result = run("config", "check", OUTRIDER_LINK__KEY="0" * 32)
    assert result.exit_code == 0
    assert result.stderr.startswith("outrider: warning: link.key: the key holds hex digits only")


def test_config_show_lists_every_key_and_hides_the_cluster_s(cluster_file: Path) -> None:
    result = run("config", "show", "--config", cluster_file, "--set", "node.profile=wazuh-4.9")
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(CATALOGUE)
    assert re.search(r"^link\.key +<hidden>  \(file outrider\.toml\)$", result.stdout, re.MULTILINE)
    assert re.search(r"sync_integrity +9\.0  \(profile wazuh-4\.9\)$", result.stdout, re.MULTILINE)
    assert KEY not in result.output


def test_config_show_as_json_gives_value_and_origin(cluster_file: Path) -> None:
    result = run("config", "show", "--json", OUTRIDER_CONFIG=str(cluster_file))
    shown: dict[str, Any] = json.loads(result.stdout)
    assert list(shown) == list(CATALOGUE)
    assert shown["link.nodes"] == {"value": ["192.0.2.1"], "origin": "file outrider.toml"}
    assert shown["link.key"]["value"] == "<hidden>"
    assert KEY not in result.output


def test_home_and_set_name_the_same_key(tmp_path: Path) -> None:
    shown = json.loads(run("config", "show", "--json", "--set", "node.home=/x", "--home", tmp_path).stdout)
    assert shown["node.home"] == {"value": str(tmp_path), "origin": "flag"}


@pytest.mark.parametrize(
    ("arguments", "environ", "reason"),
    [
        (("worker", "--config", "/nowhere/x.toml"), {}, "there is no settings file /nowhere/x.toml"),
        (("worker", "--home", "/nowhere"), {}, 'node.home = "/nowhere": there is no such folder'),
        (("master",), {}, "outrider keygen"),
        (("master", "--name", "a b"), {}, "node.name = 'a b'"),
        (("master",), {"OUTRIDER_NODE__NAM": "x"}, "did you mean node.name?"),
        (("config", "show", "--set", "node.name"), {}, "is not KEY=VALUE"),
        (("config", "check"), {"OUTRIDER_LINK__KEY": "short"}, "it has 5 characters"),
        (("config", "check", "--set", f"link.key={KEY}"), {}, "use link.key_file, a credential of systemd, or the"),
        (("config", "check", "--set", f"link.previous_keys={KEY}"), {}, "OUTRIDER_LINK__PREVIOUS_KEYS"),
        (("config", "check", "--set", "link.key_file=/nowhere"), {}, "cannot be read: No such file"),
        (("worker", "--log-level", "LOUD"), {}, "'LOUD' is not one of"),
        (("demo", "--files", "-1"), {}, "-1 is not in the range"),
        (("demo", "--files", "2"), {}, "the demo needs 3 at least"),
        (("wroker",), {}, "No such command 'wroker'"),
    ],
)
def test_a_stranger_s_mistake_has_one_clear_line(
    arguments: tuple[str, ...], environ: dict[str, str], reason: str
) -> None:
    lines = complaints(run(*arguments, **environ))
    assert len([line for line in lines if reason in line]) == 1
