"""A role: keep this node in step with its master."""

from outrider.worker.node import Worker

__all__ = ["Worker"]
