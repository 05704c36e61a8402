"""Dask: every worker of a cluster has the same files, and a task waits for the version that it was made for.

Run it: ``python examples/dask_folder.py``. It needs ``pip install outrider[dask]``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from distributed import Client, LocalCluster

import outrider
from outrider.integrations.dask import KeptFolder, wait_for

KEY = "a_key_for_one_machine_0123456789"  # of a cluster that ends with this program; see `outrider keygen`
FILES = {"tree.files": [{"folder": "models/"}]}  # what is kept: everything below this folder of a home


def scored(value: float, generation: int) -> float:
    """A task. It runs in another process, perhaps on another machine, and finds the model in its own folder."""
    home = wait_for(generation, timeout_s=60)
    model = json.loads((home / "models/linear.json").read_text("utf-8"))
    return float(model["slope"] * value)


def new_master(home: Path) -> outrider.SyncMaster:
    """The node whose files all others follow; it runs in a thread of this program."""
    (home / "models").mkdir()
    settings = {"node.home": str(home), "link.bind_addr": "127.0.0.1", "link.port": 0, "link.key": KEY}
    return outrider.SyncMaster(outrider.Settings.from_mapping({**FILES, **settings}))


def main() -> None:
    """A master in this process, two Dask workers in processes of their own, and two versions of a model."""
    with tempfile.TemporaryDirectory() as folder, new_master(Path(folder)) as master:
        link = {"link.nodes": ["127.0.0.1"], "link.port": master.addresses[0][1], "link.key": KEY}
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            client.register_plugin(KeptFolder({**FILES, **link}))
            for slope in (2, 3):
                (Path(folder) / "models/linear.json").write_text(json.dumps({"slope": slope}), "utf-8")
                # The number says which files a task needs: a worker that is a little late makes it wait, not wrong.
                generation = master.publish()
                results = client.gather(client.map(scored, [1, 2, 3, 4], generation=generation))
                print(f"generation {generation}: {results}")


if __name__ == "__main__":  # Dask's workers import this file
    main()
