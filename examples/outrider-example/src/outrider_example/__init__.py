"""A package for Outrider that shows how to write one."""
