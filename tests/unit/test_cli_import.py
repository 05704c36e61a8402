"""``outrider config import``, as a person who replaces a node of Wazuh sees it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from outrider.cli import main
from outrider.settings import Settings

KEY = "Zk8_" * 8
CONF = f"""\
<ossec_config>
  <cluster>
    <name>wazuh</name>
    <node_name>worker1</node_name>
    <node_type>worker</node_type>
    <key>{KEY}</key>
    <port>1600</port>
    <nodes><node>192.0.2.10</node></nodes>
    <hidden>yes</hidden>
    <disabled>no</disabled>
  </cluster>
</ossec_config>
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ossec.conf").write_text(CONF, "utf-8")
    (tmp_path / "cluster.json").write_text('{"intervals": {"worker": {"keep_alive": 30}}}', "utf-8")
    return tmp_path


def run(home: Path, *more: str) -> Result:
    conf, table = str(home / "etc/ossec.conf"), str(home / "cluster.json")
    return CliRunner().invoke(main, ["config", "import", "--ossec-conf", conf, "--cluster-json", table, *more])


def test_it_writes_settings_that_a_node_takes(home: Path) -> None:
    output = home / "outrider.toml"
    done = run(home, "--output", str(output))
    assert done.exit_code == 0, done.output
    assert "no equivalent: <hidden>, line 9" in done.stderr
    settings = Settings.load(output, environ={}).require("worker")
    assert (settings.node.home, settings.link.port, settings.intervals.worker.keep_alive) == (home, 1600, 30)
    assert settings.link.keys == [KEY.encode()]
    key = home / "outrider.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert KEY not in output.read_text() + done.output


def test_without_an_output_it_shows_what_it_would_write(home: Path) -> None:
    done = run(home)
    assert done.exit_code == 0
    assert 'key_file = "outrider.key"' in done.stdout
    assert KEY not in done.output
    assert sorted(path.name for path in home.iterdir()) == ["cluster.json", "etc"]


def test_nothing_is_replaced_unasked(home: Path) -> None:
    output = home / "outrider.toml"
    output.write_text("mine", "utf-8")
    done = run(home, "--output", str(output))
    assert (done.exit_code, output.read_text(), (home / "outrider.key").exists()) == (2, "mine", False)
    assert "--force" in done.stderr
    assert run(home, "--output", str(output), "--force").exit_code == 0


def test_programs_get_json(home: Path) -> None:
    done = run(home, "--json", "--output", str(home / "o.toml"))
    told = json.loads(done.stdout)
    assert told["settings"]["intervals.worker.keep_alive"] == 30
    assert [one["what"] for one in told["no_equivalent"]] == ["<hidden>, line 9"]
    assert KEY not in done.stdout


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("<disabled>no", "<disabled>yes"), "etc/ossec.conf: line 10: <disabled> is yes"),
        (("<node_type>worker</node_type>", ""), "no <node_type>"),
        (("</ossec_config>", "</ossec_config><cluster/>"), "several <cluster> sections"),
        ((KEY, "short"), "ossec.conf, <key>: it has 5 characters"),
        (("worker1", "two words"), "ossec.conf, line 4: node.name = 'two words'"),
    ],
)
def test_a_file_that_is_no_guide_is_one_clear_error(home: Path, change: tuple[str, str], why: str) -> None:
    conf = home / "etc/ossec.conf"
    conf.write_text(conf.read_text().replace(*change), "utf-8")
    done = run(home, "--output", str(home / "o.toml"))
    assert done.exit_code == 2
    assert why in done.stderr
    assert not (home / "o.toml").exists()


def test_a_file_that_is_not_there_is_named(home: Path) -> None:
    (home / "etc/ossec.conf").unlink()
    done = run(home)
    assert (done.exit_code, "etc/ossec.conf cannot be read: No such file" in done.stderr) == (2, True)
