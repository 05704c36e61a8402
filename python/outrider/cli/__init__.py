"""The command line: arguments -> settings -> one piece of work, and its outcome as text, JSON and exit code.

Exit codes: 0 it worked (``diff``, ``verify``: the trees are equal), 1 it failed (they differ),
2 the command or the settings are wrong, 3 no node runs that could be asked, 130 it was interrupted. Errors are lines
on standard error, never tracebacks; what takes long shows there that it goes on (:mod:`outrider.cli.progress`).
"""

from __future__ import annotations

import click

from outrider.cli.agents import agents
from outrider.cli.ca import ca
from outrider.cli.cluster import call, health, list_nodes
from outrider.cli.config import config, keygen
from outrider.cli.demo import demo
from outrider.cli.doctor import doctor
from outrider.cli.explain import explain
from outrider.cli.generations import approve, generations, rollback
from outrider.cli.groups import groups
from outrider.cli.join import join_command
from outrider.cli.key import key
from outrider.cli.nodes import master, worker
from outrider.cli.options import PlainErrors
from outrider.cli.peers import peer
from outrider.cli.plugins import plugins
from outrider.cli.reload import reload_settings
from outrider.cli.status import status
from outrider.cli.systemd import systemd_unit
from outrider.cli.tree import diff, scan, verify


@click.group(cls=PlainErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="outrider", message="%(prog)s %(version)s")
def main() -> None:
    """Keep every worker of a cluster in step with its master."""


NODE = (worker, master, list_nodes, health, status, reload_settings, call, generations, rollback, approve, key)
HOME = (scan, diff, verify, doctor, agents, groups, peer, ca, join_command)
for command in (*NODE, *HOME, demo, keygen, config, plugins, explain, systemd_unit):
    main.add_command(command)
