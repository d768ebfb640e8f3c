"""Peak memory of a notebook, in the profile that is set: `python benchmarks/notebook_memory.py NOTEBOOK.ipynb`."""

import pathlib
import sys
import threading
import time

import nbformat
from contender_memory import memory_now
from nbclient import NotebookClient

KINDS = {"in all": ("Pss",), "without pages of files": ("Pss_Anon", "Pss_Shmem")}


def peaks(path):
    """{kind: (peak bytes, number of the cell)} of the kernel that executes a notebook, and of its processes."""
    notebook = nbformat.read(path, 4)
    client = NotebookClient(notebook, timeout=None, allow_errors=True, resources={"metadata": {"path": path.parent}})
    found, cell, done = dict.fromkeys(KINDS, (0, 0)), [0], threading.Event()
    client.on_cell_execute = lambda cell_index, **_: cell.__setitem__(0, cell_index)

    def watch():
        while not done.wait(0.2):
            if client.km and client.km.has_kernel:
                now = memory_now(client.km.provisioner.pid)
                for kind, names in KINDS.items():
                    found[kind] = max(found[kind], (sum(now[name] for name in names), cell[0]))

    threading.Thread(target=watch, daemon=True).start()
    client.execute()
    done.set()
    return found


if __name__ == "__main__":
    path, start = pathlib.Path(sys.argv[1]), time.monotonic()
    for kind, (peak, cell) in peaks(path).items():
        print(f"{path.name}, {kind}: {peak / 1e9:.2f} GB at cell {cell}; {(time.monotonic() - start) / 60:.1f} min")
