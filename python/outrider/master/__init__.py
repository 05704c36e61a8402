"""The other role: hold the tree that workers follow."""

from outrider.master.node import Master

__all__ = ["Master"]
