"""What was imported -> a settings file, tried before it stands anywhere, and a key file beside it.

The text is written by hand: it is a head of comments, sections with a line for each key, and the rows of one table. A
library that edits TOML would be a dependency for this one command; what is written is read back by the real loader.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from outrider.errors import Line, SettingsError
from outrider.printable import printable
from outrider.settings import Settings
from outrider.settings.toml import toml
from outrider.store.whole import write_whole
from outrider.wazuh.translate import PROFILE, Imported

_HEAD: Final = f"""\
# Made by `outrider config import` from the files of a Wazuh node.
# What is not written here is as in the profile {PROFILE}, which 4.9.2 ships: `outrider config show` lists all.
"""
_FILE_MODE: Final = 0o644
_KEY_MODE: Final = 0o600


def text_of(imported: Imported, key_file: str) -> str:
    """The settings file; ``key_file`` is the name of the key's file beside it."""
    values = imported.values | {"link.key_file": key_file}
    lines = [_HEAD, *_remarks("These have no equivalent:", [f"{what}: {why}" for what, why in imported.lost])]
    lines += _remarks("These are for a person to look at:", imported.open)
    order = list(dict.fromkeys(name.rpartition(".")[0] for name in values))
    for section, names in groupby(sorted(values, key=lambda name: order.index(name.rpartition(".")[0])), _section):
        lines += _section_lines(section, {name: values[name] for name in names})
    return "\n".join(lines) + "\n"


def _section(name: str) -> str:
    return name.rpartition(".")[0]


def _remarks(title: str, remarks: list[str]) -> Iterator[str]:
    if remarks:
        yield f"# {title}"
        yield from (f"#   {printable(remark)}" for remark in remarks)


def _section_lines(section: str, values: dict[str, Any]) -> Iterator[str]:
    rows = values.pop("tree.files", ()) or ()
    if values:
        yield f"\n[{section}]"
    for name, value in values.items():
        yield f"{name.rpartition('.')[2]} = {toml(value)}"
    for row in rows:
        yield "\n[[tree.files]]"
        yield from (f"{name} = {toml(value)}" for name, value in row.items())


def tried(text: str, imported: Imported, key_file: str) -> Settings:
    """The settings of ``text``; :class:`SettingsError` names the places in the files of the Wazuh node."""
    with tempfile.TemporaryDirectory(prefix="outrider-import-") as folder:
        file = Path(folder, "settings.toml")
        file.write_text(text, "utf-8")
        _write_key(Path(folder, key_file), imported.key)
        try:
            return Settings.load(file, environ={})
        except SettingsError as error:
            placed = (Line(_placed(line.text, imported, file), line.code) for line in error.lines)
            raise SettingsError(*placed) from None


def _placed(line: str, imported: Imported, file: Path) -> str:
    name = line.partition(" ")[0].removesuffix(":")
    if name == "link.key_file":
        return f"ossec.conf, <key>: {line.rpartition(': ')[2]}"
    origin = imported.origins.get(name)
    shown = line.replace(f" (file {file.name})", "")
    return f"{origin}: {shown}" if origin else shown


def write(text: str, imported: Imported, output: Path, key_file: Path, *, replace: bool) -> None:
    """Write both files, the key's first; :class:`OSError` as the system raises it.

    :class:`FileExistsError` if one is there, unless ``replace``; nothing is written then.
    """
    for path in (output, key_file):
        if not replace and os.path.lexists(path):
            raise FileExistsError(f"{path} is there already; --force replaces it, and the key file beside it")
    write_whole(key_file, f"{imported.key}\n".encode(), _KEY_MODE)
    write_whole(output, text.encode(), _FILE_MODE)


def _write_key(path: Path, key: str) -> None:
    path.touch(mode=_KEY_MODE)
    path.write_text(f"{key}\n", "utf-8")
