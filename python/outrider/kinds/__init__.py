"""Kinds of synchronisation: what one is, how a node composes them, and those that packages bring."""
