"""What the commands share: where settings come from, and how errors and JSON are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import click
import msgspec

from outrider.codes import Code
from outrider.errors import Line, OutriderError, SettingsError
from outrider.printable import printable
from outrider.settings import Settings
from outrider.settings.catalogue import CATALOGUE
from outrider.settings.sources import variable_of

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """An error of ours as lines of text, each with its code; ``as_json``: as a program reads it."""

    as_json = False

    def __init__(self, text: str, code: str = Code.OTHER) -> None:
        """Have ``code`` explain the text; it stands behind the first of its lines."""
        super().__init__(text)
        first, *more = text.splitlines() or [text]
        self.lines = (Line(first, code), *map(Line, more))

    @classmethod
    def of(cls, error: OutriderError) -> Self:
        """What an error of ours says."""
        failure = cls(str(error), error.situation)
        failure.lines = error.lines
        return failure

    def show(self, file: IO[Any] | None = None) -> None:
        """Write each line with the program's name before it, and the code behind it."""
        if self.as_json:
            told = {"errors": [{"code": line.code or None, "text": line.text} for line in self.lines]}
            click.echo(json_of(told), file=file, err=file is None)
            return
        for line in self.lines:
            code = f" [{line.code}]" if line.code else ""
            click.echo(f"outrider: {printable(line.text)}{code}", file=file, err=file is None)


class WrongSettings(Failure):
    """Settings that are wrong; told apart from work that failed by its exit code."""

    exit_code = 2


class Interrupted(Failure):
    """Somebody pressed Ctrl-C; ``left`` says what is so now. A shell knows it by its exit code."""

    exit_code = 130

    def __init__(self, left: str = "") -> None:
        super().__init__(f"interrupted: {left}" if left else "interrupted", Code.INTERRUPTED)


class PlainErrors(click.Group):
    """A group whose commands fail with one clear line for each cause, and a code that `outrider explain` knows.

    With ``--json`` an error is one JSON object on standard error.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what this package or the system raises on purpose becomes a :class:`Failure`."""
        as_json = "--json" in ctx.args
        with _coded_usage():
            try:
                return self._invoke(ctx)
            except Failure as failure:
                failure.as_json = as_json
                raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments before the command's name."""
        with _coded_usage():
            return super().parse_args(ctx, args)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise WrongSettings.of(error) from error
        except OutriderError as error:
            raise Failure.of(error) from error
        except KeyboardInterrupt:
            raise Interrupted from None
        except BrokenPipeError:
            raise  # whoever reads our output has seen enough: click ends quietly
        except OSError as error:
            raise Failure(str(error), Code.SYSTEM) from error


@contextmanager
def _coded_usage() -> Iterator[None]:
    """An error of the command line ends with its code."""
    try:
        yield
    except click.UsageError as error:
        if type(error).show is not click.UsageError.show:
            raise  # it shows the help
        raise click.UsageError(f"{error.format_message()} [{Code.USAGE}]", error.ctx) from error


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
                f"use link.key_file, a credential of systemd, or the variable {variable_of(key)}",
                Code.SECRET_IN_THE_OPEN,
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
    click.echo(json_of(value, indent=2))


def json_of(value: Any, indent: int | None = None) -> str:
    """The JSON of a value that a peer may have written, in which half a letter can stand: no UTF-8 has one."""
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), indent=indent)
    return (text if indent is None else msgspec.json.format(text, indent=indent)).decode()
