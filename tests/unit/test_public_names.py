"""``import outrider`` is cheap, and its names are there when somebody asks for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import outrider
from outrider.errors import OutriderError, SettingsError
from outrider.settings import Settings


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, outrider; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("click", "rich", "cryptography", "asyncio", "msgspec", "zstandard"):
        assert f"'{heavy}'" not in done.stdout


def test_public_names_are_the_ones_of_their_modules() -> None:
    assert outrider.Settings is Settings
    assert outrider.SettingsError is SettingsError
    assert issubclass(outrider.ConnectionLostError, OutriderError)


@pytest.mark.parametrize("name", outrider.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(outrider, name).__name__ == name
    assert name in dir(outrider)


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wroker'"):
        _ = outrider.Wroker  # type: ignore[attr-defined]
