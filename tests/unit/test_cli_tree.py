"""``outrider scan``, ``diff`` and ``verify`` on real folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from outrider._native import FileRule, FilesTable, Generations, Tree
from outrider.cli import main

FILES = {"etc/rules/a.xml": b"<group/>\n", "etc/rules/sub/b.xml": b"<b/>\n", "etc/client.keys": b"001 a any key\n"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="outrider", env={})


def fill(home: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        file = home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return fill(tmp_path / "a", FILES)


def test_scan_counts_by_folder_and_names_the_root(home: Path) -> None:
    result = run("scan", home)
    assert (result.exit_code, result.stderr) == (0, "")
    counts = dict(re.findall(r"^(\S+/) +([\d,]+)$", result.stdout, re.MULTILINE))
    assert counts["etc/rules/"] == "2"
    assert counts["etc/"] == "1"
    assert counts["var/multigroups/"] == "0"
    assert re.search(r"^3 files, 3 of them read \(28 bytes\) in [\d.]+ s$", result.stdout, re.MULTILINE)
    assert re.search(r"^root [0-9a-f]{128}$", result.stdout, re.MULTILINE)


def test_scan_as_json_gives_the_same(home: Path) -> None:
    found = json.loads(run("scan", home, "--json").stdout)
    assert (found["home"], found["files"], found["hashed"], found["bytes_hashed"]) == (str(home), 3, 3, 28)
    assert found["folders"] == {
        "etc/": 1,
        "etc/shared/": 0,
        "var/multigroups/": 0,
        "etc/rules/": 2,
        "etc/decoders/": 0,
        "etc/lists/": 0,
    }
    assert found["problems"] == []


def test_rehash_reads_what_the_index_knows(home: Path) -> None:
    first = json.loads(run("scan", home, "--json").stdout)
    again = json.loads(run("scan", home, "--json", "--rehash").stdout)
    assert (again["hashed"], again["root"]) == (3, first["root"])


def test_scan_follows_the_files_table_of_the_settings(home: Path) -> None:
    found = json.loads(run("scan", home, "--json", "--set", 'tree.files=[{folder = "etc/rules/sub/"}]').stdout)
    assert found["folders"] == {"etc/rules/sub/": 1}


def test_scan_names_what_was_left_out(home: Path) -> None:
    (home / "etc/rules/link.xml").symlink_to("/etc/passwd")
    result = run("scan", home)
    assert result.exit_code == 0
    assert f"outrider: warning: {home}/etc/rules/link.xml was left out: " in result.stderr


def test_many_problems_are_cut_short_but_counted(home: Path) -> None:
    for number in range(25):
        (home / f"etc/rules/{number}.xml").symlink_to("nowhere")
    lines = run("scan", home).stderr.splitlines()
    assert len(lines) == 21
    assert "5 more left out" in lines[-1]
    assert len(json.loads(run("scan", home, "--json").stdout)["problems"]) == 25


def test_a_home_without_any_such_file_is_explained(tmp_path: Path) -> None:
    assert f"{tmp_path} has no file that the files table names" in run("scan", tmp_path).stdout


def test_a_home_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    for command in (("scan", tmp_path / "none"), ("diff", tmp_path, tmp_path / "none")):
        result = run(*command)
        assert result.exit_code == 1
        assert f"outrider: {tmp_path / 'none'} is no folder" in result.stderr


def test_equal_homes_have_nothing_to_change(home: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "b", FILES)
    result = run("diff", home, other)
    assert (result.exit_code, result.stdout) == (0, "Equal: 3 files.\n")
    assert json.loads(run("diff", home, other, "--json").stdout)["counts"] == {"missing": 0, "shared": 0, "extra": 0}


def test_a_difference_is_a_plan_and_exit_code_1(home: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "b", {**FILES, "etc/rules/a.xml": b"changed\n", "etc/lists/extra": b""})
    (other / "etc/rules/sub/b.xml").unlink()
    result = run("diff", home, other)
    assert result.exit_code == 1
    assert all(path in result.stdout for path in ("etc/rules/a.xml", "etc/lists/extra", "etc/rules/sub/b.xml"))
    result = run("diff", home, other, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "counts": {"missing": 1, "shared": 1, "extra": 1},
        "missing": ["etc/rules/sub/b.xml"],
        "shared": ["etc/rules/a.xml"],
        "extra": ["etc/lists/extra"],
    }


def test_a_name_cannot_steer_the_terminal(home: Path) -> None:
    (home / "etc/rules/\x1b[31mred").symlink_to("nowhere")
    assert r"\x1b[31mred" in run("scan", home).stderr


def test_verify_says_what_differs_from_the_last_generation(home: Path) -> None:
    tree = Tree(str(home), FilesTable([FileRule("etc/rules/")]))
    store = Generations(str(home), count=2, max_bytes=1 << 20, lineage=bytes(16))
    root = store.add(tree, tree.scan().manifest, 1.0).root
    table = ("--set", 'tree.files=[{folder = "etc/rules/"}]')
    same = run("verify", home, *table)
    assert (same.exit_code, same.stdout) == (0, f"the same 2 files as in generation 1, root {root[:16]}...\n")
    (home / "etc/rules/a.xml").write_bytes(b"changed")
    differs = run("verify", home, *table)
    counts = f"0 added, 1 changed, 0 deleted since generation 1, root {root[:16]}...\n"
    assert (differs.exit_code, differs.stdout) == (1, f"~ etc/rules/a.xml\n{counts}")
    assert json.loads(run("verify", home, *table, "--json").stdout)["changed"] == ["etc/rules/a.xml"]


def test_verify_of_a_home_without_a_generation_is_one_line(home: Path) -> None:
    result = run("verify", home)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
