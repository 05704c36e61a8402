"""Outrider inside other frameworks, a file for each, which needs an extra of its own and which nothing else imports."""
