r"""``ossec.conf`` -> what its ``<cluster>`` section says (specification 5.13).

The file is XML by its looks alone: several roots are usual, a fragment will do, and free text holds ``&``, ``\<`` and
comments with two dashes in a row, all of which its own readers let pass. So that comments go, such letters are
escaped, and one root is put around everything before expat reads it. Entities are neither declared nor resolved.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from xml.parsers import expat

LARGEST: Final = 4 << 20
"""Bytes; a file with 10,000 rules of its own has a tenth."""
_ROOT: Final = "outrider"
_LISTS: Final = frozenset({"nodes"})
_DEEPEST: Final = 32
_DECLARATION: Final = re.compile(r"<\?xml[^>]{0,200}\?>")
_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")


class Told(NamedTuple):
    """One value of the section: its name, its text, and the line of the file on which it begins."""

    name: str
    text: str
    line: int


class ClusterSection(NamedTuple):
    """The one ``<cluster>`` section: its values in the order of the file, a list's items each under the list's name."""

    line: int
    values: tuple[Told, ...]

    def all(self, name: str) -> list[Told]:
        """Every value of this name."""
        return [one for one in self.values if one.name == name]


def read_ossec_conf(content: bytes) -> ClusterSection:
    """The section of a file; :class:`ValueError` says, with the line, why there is none to go by."""
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes: cut its <cluster> section out, and name that file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from None
    reader = _Reader()
    reader.read(_as_xml(text))
    if not reader.sections:
        raise ValueError("it has no <cluster> section, so that this node is in no cluster")
    if len(reader.sections) > 1:
        lines = " and ".join(str(section.line) for section in reader.sections)
        raise ValueError(f"it has several <cluster> sections, on the lines {lines}: keep the one that is meant")
    return reader.sections[0]


def _as_xml(text: str) -> str:
    text = _DECLARATION.sub("", _without_comments(text))
    if declared := re.search(r"<!(?!\[CDATA\[)", text):
        line = text.count("\n", 0, declared.start()) + 1
        raise ValueError(f"line {line}: it declares a document type or entities, which are not taken: remove them")
    text = _AMPERSAND.sub("&amp;", text.replace("\\<", "&lt;").replace("\\>", "&gt;"))
    return f"<{_ROOT}>{text}</{_ROOT}>"  # on the same line, so that lines keep their numbers


def _without_comments(text: str) -> str:
    """The text with the line ends of its comments alone, so that lines keep their numbers."""
    kept, at = [], 0
    while (begin := text.find("<!--", at)) >= 0:
        end = text.find("-->", begin + len("<!--"))
        if end < 0:
            raise ValueError(f"line {text.count(chr(10), 0, begin) + 1}: a comment has no end")
        kept += [text[at:begin], "\n" * text.count("\n", begin, end)]
        at = end + len("-->")
    return "".join([*kept, text[at:]])


class _Reader:
    """Collects every ``<cluster>`` that stands at the top or within a root."""

    def __init__(self) -> None:
        self.sections: list[ClusterSection] = []
        self._path: list[str] = []
        self._values: list[Told] = []
        self._text: list[str] = []
        self._lines: list[int] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._hear

    def read(self, text: str) -> None:
        try:
            self._parser.Parse(text, True)
        except expat.ExpatError as error:
            raise ValueError(
                f"line {error.lineno}: {expat.ErrorString(error.code)}: mend it, or cut the <cluster> section out "
                "and name that file"
            ) from None

    @property
    def _inside(self) -> int | None:
        """How deep in a section: 0 is its own element; ``None`` outside of one."""
        for depth in (1, 2):
            if self._path[depth : depth + 1] == ["cluster"] and self._path[1:depth] in ([], ["ossec_config"]):
                return len(self._path) - depth - 1
        return None

    def _begin(self, name: str, _attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _DEEPEST:
            raise ValueError(
                f"line {self._parser.CurrentLineNumber}: elements lie deeper than {_DEEPEST} in one another"
            )
        self._lines.append(self._parser.CurrentLineNumber)
        self._text.clear()
        if self._inside == 0:
            self._values = []

    def _hear(self, text: str) -> None:
        if self._inside:
            self._text.append(text)

    def _end(self, name: str) -> None:
        inside, line = self._inside, self._lines.pop()
        if inside == 0:
            self.sections.append(ClusterSection(line, tuple(self._values)))
        elif inside is not None and (text := "".join(self._text).strip() or None) is not None:
            self._values.append(Told(self._name(inside), text, line))
        elif inside == 1 and not any(one.name.split("/")[0] == name for one in self._values):
            self._values.append(Told(name, "", line))
        self._text.clear()
        self._path.pop()

    def _name(self, inside: int) -> str:
        """Where a value stands in its section; an item of a known list goes by the list's name."""
        names = self._path[-inside:]
        return names[0] if names[0] in _LISTS else "/".join(names)
