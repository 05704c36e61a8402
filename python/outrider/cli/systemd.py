"""``outrider systemd``: a unit of systemd for a node of this machine, printed; nothing is installed by it.

The unit is a file of the package (``units/``), and here is what differs from machine to machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final, Literal

import click

_RELOADS_SINCE: Final = 253
"""The first version of systemd that waits until a service has loaded its settings again."""
_OF_PEOPLE: Final = (Path("/home"), Path("/root"), Path("/run/user"))
_GIVES_AWAY: Final = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER"
"""What root needs to write a tree that belongs to somebody else (``tree.owner``)."""
_SAFE: Final = re.compile(r"[A-Za-z0-9_./:@+=,-]+")


@click.command("systemd")
@click.argument("role", type=click.Choice(["worker", "master"]))
@click.option("--config", default="/etc/outrider/outrider.toml", show_default=True, help="Its settings file.")
@click.option(
    "--key", default="/etc/outrider/key", show_default=True, help="Its key file, handed over as a credential."
)
@click.option("--no-key", is_flag=True, help="Hand over no key: the settings name a link.key_file.")
@click.option("--home", help="Its home; by itself a folder that systemd makes, /var/lib/outrider-ROLE.")
@click.option("--user", help="Whom it runs as; by itself a user that systemd makes while it runs. Needs --home.")
@click.option("--systemd", "version", type=int, help="Version of systemd; by itself this machine's, or a recent one.")
def systemd_unit(
    *,
    role: Literal["worker", "master"],
    config: str,
    key: str,
    no_key: bool,
    home: str | None,
    user: str | None,
    version: int | None,
) -> None:
    """Print a systemd unit for a worker or a master.

    E.g. outrider systemd worker > /etc/systemd/system/outrider-worker.service
    """
    for option, value in (("--config", config), ("--key", key), ("--home", home)):
        _check_path(option, value)
    if user is not None and (home is None or not _SAFE.fullmatch(user)):
        raise click.BadParameter(
            "name a user of this machine, and its --home, which this user may write", param_hint="--user"
        )
    command = [*_program(), role, "--config", config, *(["--home", home] if home else [])]
    paths = [Path(part) for part in command if part.startswith("/")]
    click.echo(
        Template((files("outrider") / "units" / "outrider.service").read_text("utf-8")).substitute(
            role=role,
            type=_type(version or _installed()),
            command=" ".join(command),
            identity=_identity(role, home, user),
            protect_home="read-only"
            if any(path.is_relative_to(one) for path in paths for one in _OF_PEOPLE)
            else "yes",
            credential="" if no_key else f"LoadCredential=outrider.key:{key}",
            capabilities=_GIVES_AWAY if user == "root" else "",
        ),
        nl=False,
    )


def _check_path(option: str, value: str | None) -> None:
    if value is not None and not (value.startswith("/") and _SAFE.fullmatch(value)):
        raise click.BadParameter(
            f"{value!r}: a unit needs an absolute path of letters, digits and _ . / : @ + = , -", param_hint=option
        )


def _program() -> list[str]:
    """How this very installation is started."""
    script = Path(sys.executable).with_name("outrider")
    return [str(script)] if script.exists() else [sys.executable, "-m", "outrider"]


def _installed() -> int:
    """The version of systemd here; a recent one where there is none."""
    program = shutil.which("systemctl")
    if program is None:
        return _RELOADS_SINCE
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else _RELOADS_SINCE


def _type(version: int) -> str:
    if version >= _RELOADS_SINCE:
        return "Type=notify-reload"
    return "Type=notify\nExecReload=/bin/kill -HUP $MAINPID"


def _identity(role: str, home: str | None, user: str | None) -> str:
    who = f"User={user}" if user else "DynamicUser=yes"
    where = f"ReadWritePaths={home}" if home else f"StateDirectory=outrider-{role}\nStateDirectoryMode=0750"
    return f"{who}\n{where}"
