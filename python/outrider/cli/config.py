"""``outrider config`` and ``outrider keygen``: settings looked at, a key made."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom
from typing import Any, Literal

import click
import msgspec

from outrider.cli.import_wazuh import import_wazuh
from outrider.cli.options import WrongSettings, home_option, load_settings, settings_options, write_json
from outrider.errors import SettingsError
from outrider.plugins import load_plugins
from outrider.settings import Settings
from outrider.settings.key import make_key


@click.command()
def keygen() -> None:
    """Write a new cluster key: 32 random word characters, 191 bits."""
    click.echo(bytes(make_key(SystemRandom())).decode())


@click.group()
def config() -> None:
    """Check the settings, show each with where it comes from, or make them of a Wazuh node's."""


config.add_command(import_wazuh)


@config.command()
@settings_options
@home_option
@click.option("--role", type=click.Choice(["worker", "master"]), help="Check also what a node of this role needs.")
@click.option("--json", "as_json", is_flag=True, help="Write the outcome for a program to read.")
@click.pass_context
def check(
    ctx: click.Context,
    *,
    config: Path | None,
    home: str | None,
    pairs: tuple[str, ...],
    role: Literal["worker", "master"] | None,
    as_json: bool,
) -> None:
    """Say whether the settings are valid, and everything that is wrong with them."""
    try:
        settings = load_settings(config, home, pairs)
        if role is not None:
            settings = settings.require(role)
        load_plugins().check(settings)
    except SettingsError as error:
        if not as_json:
            raise
        codes = [line.code for line in error.lines]
        write_json({"valid": False, "errors": [line.text for line in error.lines], "codes": codes, "warnings": []})
        ctx.exit(WrongSettings.exit_code)
    if as_json:
        write_json({"valid": True, "errors": [], "warnings": settings.warnings})
    else:
        click.echo("The settings are valid.")


@config.command()
@settings_options
@home_option
@click.option("--json", "as_json", is_flag=True, help="Write the settings for a program to read.")
def show(*, config: Path | None, home: str | None, pairs: tuple[str, ...], as_json: bool) -> None:
    """Show every setting, its value and where that comes from; keys stay hidden."""
    settings = load_settings(config, home, pairs)
    if as_json:
        write_json({line.key: {"value": line.value, "origin": line.origin} for line in settings.describe()})
    else:
        _write_table(settings)


def _write_table(settings: Settings) -> None:
    rows = [(line.key, _shown(line.value), line.origin) for line in settings.describe()]
    width = max(len(key) for key, _, _ in rows)
    for key, value, origin in rows:
        click.echo(f"{key:<{width}}  {value}" + ("" if origin == "default" else f"  ({origin})"))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return value if value == "<hidden>" else msgspec.json.encode(value).decode()
