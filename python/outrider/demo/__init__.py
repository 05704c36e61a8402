"""A cluster on one machine, to watch: a master and two workers as real processes on loopback."""

from outrider.demo.story import run

__all__ = ["run"]
