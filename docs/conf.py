"""How ``make docs`` builds the guides and the reference: without the network, and with every warning as an error."""

from __future__ import annotations

import posixpath
import re
from importlib.metadata import version as version_of

from sphinx.application import Sphinx

from outrider.relay import context, handlers

project = "Outrider"
copyright = "the authors of Outrider"  # noqa: A001  (the name that Sphinx reads)
release = version_of("outrider")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "alabaster"
html_theme_options = {"description": "Keeps every worker of a cluster in step with its master", "page_width": "64em"}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_show_sphinx = False
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_default_options = {
    "members": True,
    "undoc-members": True,  # fields of values, whose class describes them
    "inherited-members": "ABC, Exception, Flag, Generic, Mapping, Protocol, Struct, WorkerPlugin, object, str, tuple",
}
context.Handler = handlers.Handler  # type: ignore[attr-defined]  # which is imported there for type checkers alone

nitpicky = True
suppress_warnings = ["ref.python"]  # fields of values are called `bytes`, as the builtin is
_ELSEWHERE = r"(abc|asyncio|collections|concurrent|contextlib|distributed|enum|msgspec|pathlib|random|typing)\..*"
_PYTHON_S = r"[a-z]+|[A-Z]|[A-Z]\w*Error|AbstractAsyncContextManager|Any|Path|outrider\..*\.[A-Z]"
_INSIDE = [  # what nodes are made of: seen in signatures, and nothing to rely on
    r"blocking\.\w+",
    r"exchange\..*",
    r"hooks\._Ground",
    r"kinds\.composing\.Halves",
    r"lifespan\.Lifespan",
    r"logs\.TaskLogger",
    r"master\.source\.Source",
    r"node\.Node",
    r"protocol\..*",
    r"relay\.\w+\.(AgentLister|Handler|Routes)",
    r"settings\.(live\.Live|load\.Sources)",
    r"settings\.sections\..*",
    r"store\.tree\.FileTree",
    r"transport\.(channel\.Channel|turning\.Turn)",
    r"working(\.\w+)?",
    r"worker\.handler\.WorkerHandler",
]
nitpick_ignore_regex = [
    ("py:.*", _ELSEWHERE),  # these references lie on the internet
    ("py:.*", _PYTHON_S),
    *(("py:.*", rf"outrider\.{one}") for one in _INSIDE),
    ("py:.*", "FilesTable"),
]

_LINK = re.compile(r"\[([^\]]+)\]\(([^)#:\s]+)[^)\s]*\)")


def _names_files_outside(_: Sphinx, page: str, source: list[str]) -> None:
    """A link that leads out of docs/ into the repository becomes the name of that file."""

    def named(link: re.Match[str]) -> str:
        text, target = link.groups()
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
        if path.startswith("docs/"):
            return link[0]
        return f"`{path}`" if text == path else f"{text} (`{path}`)"

    source[0] = _LINK.sub(named, source[0])


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("source-read", _names_files_outside)
