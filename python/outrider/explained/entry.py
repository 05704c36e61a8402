"""What is said of one code."""

from __future__ import annotations

from msgspec import Struct


class Explanation(Struct, frozen=True):
    """One situation: what it is called, why it comes about, what the node does meanwhile, what a person does.

    ``example`` is a line as it is seen; the words after the code's situation differ.
    """

    code: str
    title: str
    cause: str
    meanwhile: str
    remedy: str
    example: str
