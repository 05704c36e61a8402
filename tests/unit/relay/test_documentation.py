"""What docs/api.md shows runs as it stands."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests.support.loop import run
from tests.support.relay import calls_of, context_of, settings_of

from outrider.plugins import HANDLERS, load_plugins
from outrider.protocol.api import Request
from outrider.relay.builtin import builtin

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")


def test_the_example_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (name, target) = re.findall(r'(\w+) = "(acme_calls:handlers)"', TEXT)[0]
    (tmp_path / "acme_calls.py").write_text(example)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins = load_plugins(points=[EntryPoint(name=name, value=target, group=HANDLERS)])
    assert plugins.found[0].brings == ("acme.disk",)

    async def story() -> bytes:
        calls = calls_of(plugins.calls, context_of(plugins.calls, settings_of(tmp_path)))
        return await calls.answer(Request(call="acme.disk", f_kwargs={"share": True}), "me")

    assert 0 <= json.loads(run(story()))["free"] <= 1
    del sys.modules["acme_calls"]


@pytest.mark.parametrize("name", builtin())
def test_every_call_of_a_node_is_told(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("limit", [name for name in settings_of().limits.__struct_fields__ if "request" in name])
def test_every_limit_of_requests_is_told(limit: str) -> None:
    assert f"`limits.{limit}`" in TEXT
