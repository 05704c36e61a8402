"""Where settings come from: one TOML file, the environment, flags. Each value keeps its origin.

Nothing here judges a value; it only finds them and gives them dotted names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from outrider.codes import Code
from outrider.errors import SettingsError
from outrider.settings.catalogue import CATALOGUE
from outrider.settings.toml import read_toml

VARIABLE_PREFIX = "OUTRIDER_"
VARIABLE_OF_THE_FILE = "OUTRIDER_CONFIG"
STATE_FOLDERS = "STATE_DIRECTORY"
"""The variable in which systemd names the folders of a service's state, with a colon between them."""
KINDS = "kinds"
"""The section whose keys only packages know: ``kinds.NAME.KEY``."""


class Given(Struct, frozen=True):
    """A value as somebody wrote it.

    ``text`` says that it came as text, of the environment or a flag, and still has to be read;
    ``base`` is the folder where a relative path starts, if that is not the current one.
    """

    value: Any
    origin: str
    text: bool = False
    base: Path | None = None


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested tables; a table that is itself a setting's value stays whole."""
    for part, value in mapping.items():
        name = f"{prefix}{part}"
        if isinstance(value, Mapping) and name not in CATALOGUE and not _is_option(name):
            yield from flatten(value, f"{name}.")
        else:
            yield name, value


def of_kinds(name: str) -> bool:
    """Whether a dotted name belongs to a kind of synchronisation, whose keys are not in the catalogue."""
    return name == KINDS or name.startswith(f"{KINDS}.")


def _is_option(name: str) -> bool:
    return of_kinds(name) and name.count(".") > 1


def from_file(path: Path) -> dict[str, Given]:
    """The values of one TOML file."""
    try:
        data = read_toml(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"there is no settings file {path}: name another with --config, or leave it out").coded(
            Code.SETTINGS_FILE
        ) from error
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror}").coded(
            Code.SETTINGS_FILE
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"settings file {path} is not UTF-8 text (byte {error.start})").coded(
            Code.NOT_TOML
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"settings file {path} is not TOML: {error}").coded(Code.NOT_TOML) from error
    base = path.absolute().parent
    return {name: Given(value, f"file {path.name}", base=base) for name, value in flatten(data)}


def from_environment(environ: Mapping[str, str]) -> tuple[dict[str, Given], list[str]]:
    """The values of ``OUTRIDER_SECTION__KEY`` variables, and a warning for each that looks like one but is not."""
    values: dict[str, Given] = {}
    warnings: list[str] = []
    for variable in sorted(environ):
        rest = variable.removeprefix(VARIABLE_PREFIX)
        if variable in {rest, VARIABLE_OF_THE_FILE}:
            continue
        if "__" in rest:
            name = rest.lower().replace("__", ".")
            values[name] = Given(environ[variable], f"environment {variable}", text=True)
        elif meant := [name for name in CATALOGUE if rest.lower() in {name.replace(".", "_"), name.rpartition(".")[2]}]:
            warnings.append(f"{variable} is not read: did you mean {variable_of(meant[0])}?")
    return values, warnings


def from_service(environ: Mapping[str, str]) -> dict[str, Given]:
    """The home of a service that systemd gave a folder for its state, where nothing else names one."""
    folder = environ.get(STATE_FOLDERS, "").partition(":")[0]
    return {"node.home": Given(folder, f"environment {STATE_FOLDERS}", text=True)} if folder else {}


def from_mapping(mapping: Mapping[str, Any], origin: str, *, text: bool = False) -> dict[str, Given]:
    """The values of a mapping, nested or with dotted names; text is read as a flag's would be if ``text``."""
    return {name: Given(value, origin, text=text and isinstance(value, str)) for name, value in flatten(mapping)}


def variable_of(name: str) -> str:
    """The environment variable of a key: ``node.name`` is ``OUTRIDER_NODE__NAME``."""
    return VARIABLE_PREFIX + name.upper().replace(".", "__")
