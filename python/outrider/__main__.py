"""``python -m outrider``: the command line."""

from __future__ import annotations

from outrider.cli import main

main(prog_name="outrider")
