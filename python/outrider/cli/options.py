"""What the commands share: where settings come from, and how errors and JSON are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import msgspec

from outrider.errors import OutriderError, SettingsError
from outrider.settings import Settings
from outrider.settings.catalogue import CATALOGUE
from outrider.settings.sources import variable_of

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """An error of ours as lines of text."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Write each line with the program's name before it."""
        for line in self.message.splitlines():
            click.echo(f"outrider: {line}", file=file, err=file is None)


class WrongSettings(Failure):
    """Settings that are wrong; told apart from work that failed by its exit code."""

    exit_code = 2


class PlainErrors(click.Group):
    """A group whose commands fail with one clear line for each cause."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what this package or the system raises on purpose becomes a :class:`Failure`."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise WrongSettings(str(error)) from error
        except OutriderError as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            raise  # whoever reads our output has seen enough: click ends quietly
        except OSError as error:
            raise Failure(str(error)) from error


def settings_options(command: F) -> F:
    """Add ``--config`` and ``--set``; :func:`load_settings` reads them."""
    options = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="OUTRIDER_CONFIG",
            show_envvar=True,
            metavar="FILE",
            help="Settings file (TOML).",
        ),
        click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Set any key; may be repeated."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def home_option(command: F) -> F:
    """Add ``--home``."""
    return click.option("--home", metavar="DIR", help="The node's home; the same as --set node.home=DIR.")(command)


def load_settings(config: Path | None, home: str | None, pairs: tuple[str, ...], **flags: str | None) -> Settings:
    """Settings from all sources; ``flags`` are keys with ``__`` for the dot. Warnings go to standard error."""
    overrides: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE; e.g. --set node.name=worker1", param_hint="--set")
        key = key.strip()
        if key in CATALOGUE and CATALOGUE[key].secret:
            raise WrongSettings(
                f"{key}: every user of this machine can read a command line, and the shell keeps it; "
                f"use link.key_file, a credential of systemd, or the variable {variable_of(key)}"
            )
        overrides[key] = value
    named = {"node.home": home} | {key.replace("__", "."): value for key, value in flags.items()}
    overrides |= {key: value for key, value in named.items() if value is not None}
    settings = Settings.load(config, overrides=overrides)
    for warning in settings.warnings:
        click.echo(f"outrider: warning: {warning}", err=True)
    return settings


def write_json(value: Any) -> None:
    """Write ``value`` for a program to read."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
