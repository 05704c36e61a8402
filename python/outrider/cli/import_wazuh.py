"""``outrider config import``: the settings of a node that takes the place of a Wazuh node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from outrider.cli.options import WrongSettings, write_json
from outrider.codes import Code
from outrider.printable import printable
from outrider.settings import Settings
from outrider.wazuh import cluster_json, ossec_conf
from outrider.wazuh.settings_file import text_of, tried, write
from outrider.wazuh.translate import Imported, translate

T = TypeVar("T")

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("import")
@click.option("--ossec-conf", type=_FILE, required=True, metavar="FILE", help="The node's ossec.conf.")
@click.option(
    "--cluster-json", type=_FILE, metavar="FILE", help="The node's cluster.json; without it, as 4.9.2 ships it."
)
@click.option("--output", type=_FILE, metavar="FILE", help="The settings file to write.  [default: standard output]")
@click.option("--home", metavar="DIR", help="The node's home.  [default: the folder above the etc of ossec.conf]")
@click.option("--force", is_flag=True, help="Replace the files that there are.")
@click.option("--json", "as_json", is_flag=True, help="Write the outcome for a program to read.")
def import_wazuh(
    *, ossec_conf: Path, cluster_json: Path | None, output: Path | None, home: str | None, force: bool, as_json: bool
) -> None:
    """Make a settings file of what a Wazuh node's own files say; what has no equivalent is told, and written into it.

    The cluster key goes into a file of its own beside it, mode 600. Nothing of the Wazuh node is changed.
    """
    imported = _read(ossec_conf, cluster_json, home)
    key_file = output.with_suffix(".key") if output else Path("outrider.key")
    if output is not None and key_file == output:
        raise WrongSettings(
            f"--output {output}: this is what the key's file would be called; e.g. {output.stem}.toml", Code.USAGE
        )
    text = text_of(imported, key_file.name)
    settings = tried(text, imported, key_file.name)
    _tell(imported, settings)
    if output is not None:
        try:
            write(text, imported, output.absolute(), key_file.absolute(), replace=force)
        except FileExistsError as error:
            raise WrongSettings(str(error), Code.WOULD_OVERWRITE) from error
    if as_json:
        write_json(_outcome(imported, settings, output, key_file))
    elif output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"Wrote {output}, and the cluster key to {key_file}.")


def _read(conf: Path, table: Path | None, home: str | None) -> Imported:
    section = _of(conf, ossec_conf.read_ossec_conf, ossec_conf.LARGEST)
    json = (
        cluster_json.FromJson({}, [])
        if table is None
        else _of(table, cluster_json.read_cluster_json, cluster_json.LARGEST)
    )
    known = conf.absolute().parent
    place = Path(home).absolute() if home else known.parent if known.name == "etc" else None
    try:
        return translate(section, json, place)
    except ValueError as error:
        raise WrongSettings(f"{conf}: {printable(str(error))}", Code.WAZUH_FILES) from error


def _of(path: Path, read: Callable[[bytes], T], largest: int) -> T:
    try:
        with path.open("rb") as file:
            return read(file.read(largest + 1))
    except OSError as error:
        raise WrongSettings(f"{path} cannot be read: {error.strerror}", Code.WAZUH_FILES) from error
    except ValueError as error:
        raise WrongSettings(f"{path}: {printable(str(error))}", Code.WAZUH_FILES) from error


def _tell(imported: Imported, settings: Settings) -> None:
    for what, why in imported.lost:
        click.echo(printable(f"outrider: no equivalent: {what}: {why}"), err=True)
    for line in (*imported.open, *settings.warnings):
        click.echo(printable(f"outrider: warning: {line}"), err=True)


def _outcome(imported: Imported, settings: Settings, output: Path | None, key_file: Path) -> dict[str, object]:
    return {
        "output": output and str(output),
        "key_file": str(key_file) if output else None,
        "settings": imported.values,
        "no_equivalent": [{"what": what, "why": why} for what, why in imported.lost],
        "warnings": [*imported.open, *settings.warnings],
    }
