"""Outrider: keeps every worker of a cluster in step with its master."""
