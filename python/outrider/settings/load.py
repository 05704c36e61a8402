"""All sources -> one :class:`Settings`, read once, at the edge."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
from msgspec import Struct

from outrider.codes import Code
from outrider.errors import Line, SettingsError
from outrider.printable import printable
from outrider.settings import checks, key_file, sources
from outrider.settings.build import make_section, read_values
from outrider.settings.catalogue import CATALOGUE, SECTIONS
from outrider.settings.files import FileRow
from outrider.settings.key import HIDDEN, ClusterKey
from outrider.settings.kinds import Options, read_kinds
from outrider.settings.profiles import PROFILES
from outrider.settings.sections import (
    Agents,
    Ca,
    Generations,
    Grants,
    Http,
    Intervals,
    Limits,
    Link,
    Local,
    Log,
    Node,
    Sendsync,
    Tree,
    Watch,
)
from outrider.settings.sources import KINDS, Given, of_kinds

_READ: Final = {name: attrgetter(name) for name in CATALOGUE}


class Described(Struct, frozen=True):
    """One line of ``outrider config show``; the value is plain data and never a secret: such a one is ``hidden``."""

    key: str
    value: Any
    origin: str
    hidden: bool = False


class Sources(Struct, frozen=True):
    """Where settings were loaded from: what :meth:`Settings.again` asks once more. The file is an absolute path."""

    path: Path | None
    environ: Mapping[str, str]
    overrides: Mapping[str, Any]

    def __repr__(self) -> str:
        """Without the values: a variable may hold the cluster's key."""
        return f"Sources({self.path})"


class Settings(Struct, frozen=True, kw_only=True):
    """All settings of one node: checked, complete, never changed again.

    ``origins`` says where each value that is not a default came from; ``warnings`` what works, but
    perhaps not as meant; ``sources`` where to look when they are to be loaded again, if they were loaded at all.
    """

    node: Node
    link: Link
    ca: Ca
    intervals: Intervals
    tree: Tree
    watch: Watch
    generations: Generations
    agents: Agents
    local: Local
    sendsync: Sendsync
    grants: Grants
    http: Http
    limits: Limits
    log: Log
    kinds: Options = {}
    origins: dict[str, str]
    warnings: tuple[str, ...] = ()
    sources: Sources | None = None

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        environ: Mapping[str, str] = os.environ,
        overrides: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read the file, then the ``OUTRIDER_`` variables, then the flags; later ones win.

        Where none of them names the home, the state folder that systemd made for the service is it.

        Raises one :class:`SettingsError` with a line for everything that is wrong.
        """
        path = Path(path).absolute() if path is not None else None
        given = sources.from_file(path) if path is not None else {}
        if path is not None and (
            opening := key_file.open_to_all(path)
        ):  # it names plugins, whose code would run as this user
            raise SettingsError(f"settings file {path}: {opening}").coded(Code.SETTINGS_FILE)
        warnings = []
        if path is not None and "link.key" in given and checks.others_may_read(path):
            warnings.append(
                f"settings file {path} holds the key and every user may read it: chmod 600, or use link.key_file"
            )
        variables, unread = sources.from_environment(environ)
        folders = sources.from_service(environ)
        flags = sources.from_mapping(overrides or {}, "flag", text=True)
        settings = cls._make({**folders, **given, **variables, **flags}, [*warnings, *unread], environ)
        return msgspec.structs.replace(settings, sources=Sources(path, dict(environ), dict(overrides or {})))

    def again(self) -> Self:
        """The same sources read once more, :class:`SettingsError` if what they say is not valid; the role stays.

        Settings that were not loaded, but made of a mapping, have no sources: whoever made them makes the others.
        """
        if self.sources is None:
            raise SettingsError(
                "these settings were made by the program that runs this node: it alone can hand over others"
            ).coded(Code.SETTINGS)
        found = type(self).load(self.sources.path, self.sources.environ, self.sources.overrides)
        if "node.type" in found.origins:
            return found
        return msgspec.structs.replace(found, node=msgspec.structs.replace(found.node, type=self.node.type))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Settings of a mapping alone, nested as in the file or with dotted names."""
        return cls._make(sources.from_mapping(mapping, "mapping"), [], {})

    @classmethod
    def _make(cls, given: dict[str, Given], warnings: Iterable[str], environ: Mapping[str, str]) -> Self:
        profile = given["node.profile"].value if "node.profile" in given else "default"
        defaults = PROFILES.get(profile, {}) if isinstance(profile, str) else {}
        given = {name: Given(value, f"profile {profile}") for name, value in defaults.items()} | given
        values, errors = read_values({name: one for name, one in given.items() if not of_kinds(name)})
        kinds, wrong = read_kinds({name: one for name, one in given.items() if of_kinds(name)})
        origins = {name: one.origin for name, one in given.items()}
        warnings = [*warnings, *_gather_keys(values, origins, errors, environ)]
        sections: dict[str, Any] = {name: make_section(name, section, values) for name, section in SECTIONS.items()}
        settings = cls(**sections, kinds=kinds, origins=origins)
        errors += [*wrong, *settings._errors()]
        if errors:
            raise SettingsError(*(error._replace(text=printable(error.text)) for error in errors))
        return msgspec.structs.replace(
            settings, warnings=(*warnings, *checks.warn(settings.link, settings.tree, settings.http))
        )

    def _errors(self) -> list[Line]:
        misfits = [
            *checks.check_node(self.node),
            *checks.check_link(self.link),
            *checks.check_tls(self.link),
            *checks.check_intervals(self.intervals),
            *checks.check_tree(self.tree),
            *checks.check_local(self.local, self.tree),
            *checks.check_sendsync(self.sendsync),
            *checks.check_http(self.http, self.link),
            *checks.check_limits(self.limits),
        ]
        return [Line(misfit, Code.VALUES_MISFIT) for misfit in misfits]

    def require(self, role: Literal["worker", "master"]) -> Self:
        """These settings for a node of this role, or a :class:`SettingsError` that says what it lacks."""
        ready = msgspec.structs.replace(self, node=msgspec.structs.replace(self.node, type=role))
        if errors := list(checks.check_role(ready.node, ready.link, home_is_set="node.home" in self.origins)):
            raise SettingsError(*errors)
        return ready

    @property
    def owner(self) -> tuple[int, int] | None:
        """User and group id of applied files; ``None``: the process's own."""
        return checks.owner_ids(self.tree.owner)

    def without_secrets(self) -> Self:
        """The same without the cluster's keys: as calls and kinds of synchronisation may see them."""
        link = msgspec.structs.replace(self.link, key=None, previous_keys=())
        return msgspec.structs.replace(self, link=link, sources=None)

    def values(self) -> dict[str, Any]:
        """Every key with its value as it is, secrets included: those of the catalogue in its order, then of kinds."""
        values = {name: read(self) for name, read in _READ.items()}
        for kind, options in self.kinds.items():
            values |= {f"{KINDS}.{kind}.{option}": value for option, value in options.items()}
        return values

    def describe(self) -> list[Described]:
        """Every key with its value and where that came from; keys of the cluster are hidden."""
        return [self.described(name, value) for name, value in self.values().items()]

    def described(self, name: str, value: Any) -> Described:
        """One line of :meth:`describe`, for a key that has this ``value``."""
        secret = name in CATALOGUE and CATALOGUE[name].secret
        return Described(name, _plain(value), self.origins.get(name, "default"), secret)


def _gather_keys(
    values: dict[str, Any], origins: dict[str, str], errors: list[Line], environ: Mapping[str, str]
) -> list[str]:
    """Read the key file, or the credential, into ``link.key`` and ``link.previous_keys``; returns warnings."""
    path, origin = values.get("link.key_file"), "link.key_file"
    if path is None and "link.key" not in origins:
        path, origin = _credential(values, origins, errors, environ), "link.key_credential"
    if path is None:
        if "link.previous_keys" in values and not {"link.key", "link.key_file"} & origins.keys():
            text = "link.previous_keys: there is no link.key that replaced them; `outrider keygen` makes one"
            errors.append(Line(text, Code.NO_KEY))
        return []
    if "link.key" in origins:
        text = f"link.key_file = {str(path)!r}: link.key is set as well; keep one of them"
        errors.append(Line(text, Code.TWO_KEYS))
        return []
    try:
        first, *older = key_file.read_key_file(path)
    except ValueError as error:
        errors.append(Line(f"{origin} = {str(path)!r}: {error}", Code.KEY_FILE))
        return []
    values["link.key"] = first
    origins["link.key"] = origin
    values["link.previous_keys"] = (*older, *values.get("link.previous_keys", ()))
    return [f"{origin}: {exposure}" for exposure in key_file.exposures(path)]


def _credential(
    values: Mapping[str, Any], origins: Mapping[str, str], errors: list[Line], environ: Mapping[str, str]
) -> Path | None:
    name = values.get("link.key_credential", CATALOGUE["link.key_credential"].default)
    path = key_file.credential(name, environ)
    if path is None and "link.key_credential" in origins:
        text = (
            f"link.key_credential = {name!r}: systemd handed this process no credential of this name; write e.g. "
            f"LoadCredential={name}:/etc/outrider/key into its unit, or set link.key_file"
        )
        errors.append(Line(text, Code.KEY_CREDENTIAL))
    return path


def _plain(value: Any) -> Any:
    """Plain data for a table or JSON."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, FileRow):
        row = msgspec.to_builtins(value)
        return {**row, "permissions": f"{value.permissions:#o}", "names": row["names"] or ["all"]}
    if isinstance(value, ClusterKey):
        return HIDDEN
    return str(value) if isinstance(value, Path) else value
