"""Python's parsers of bytes from outside, searched for bytes that break them (threat 6); the core's: ``rust/fuzz``."""
