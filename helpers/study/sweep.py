"""Many runs at a time, over the cores of this machine or over several machines that share a file system, by Dask.

A run that fails, or whose process is lost, is tried once more. Whole nets are few at a time: they take the resource
"net", of which each worker that may train one has one.
"""

import collections
import contextlib
import logging
import os
import socket

import dask
from dask.distributed import (
    Client,
    KilledWorker,
    Nanny,
    Scheduler,
    SchedulerPlugin,
    SpecCluster,
    WorkerPlugin,
    as_completed,
)

from helpers import limits

NET = {"net": 1}
SETTINGS = {
    "distributed.worker.daemon": False,  # a training on puzzles starts processes of its own
    "distributed.scheduler.allowed-failures": 1,  # how often a run may lose its worker
    "distributed.worker.memory.terminate": False,  # Caffe's memory was counted before
    "distributed.worker.memory.pause": False,
}


def local_cluster(jobs, nets):
    """`jobs` processes of this machine, one run each; whole nets on the first `nets` of them."""
    options = {"nthreads": 1, "silence_logs": logging.WARNING}
    workers = {
        number: {"cls": Nanny, "options": options | {"resources": NET if number < nets else {}}}
        for number in range(jobs)
    }
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": ":0", "host": "127.0.0.1"}}
    return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.WARNING)


def sweep(waiting, function, jobs=2, nets=1, scheduler=None):
    """Call function(planned) for each Planned, after that of the run it waits for; returns {name: error} of failures.

    function: returns the line to print; it is pickled. jobs, nets: see local_cluster. scheduler: the address of a
    running Dask scheduler, "tcp://host:8786", whose workers are used instead of a cluster of this machine.
    """
    failed, futures = {}, {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(SETTINGS))
        client = stack.enter_context(Client(scheduler or stack.enter_context(local_cluster(jobs, nets))))
        client.register_plugin(Lost(), name="lost")
        workers = collections.Counter(client.run(socket.gethostname).values())
        client.register_plugin(ShareOfCores(dict(workers)), name="cores")
        print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
        for planned in waiting:
            needed = [futures[planned.after]] if planned.after in futures else []
            wanted = None if planned.net == "fc6" else NET
            name = planned.name
            futures[name] = client.submit(attempts, function, planned, *needed, key=name, resources=wanted, pure=False)
        for future in as_completed(futures.values()):
            try:
                line, error = future.result()  # computed again where it was lost with a worker that held it
            except KilledWorker as problem:
                line, error = None, repr(problem)
            print(line or f"{future.key}: failed twice, {error}", flush=True)
            if error:
                failed[future.key] = error
        for name in client.run_on_scheduler(lost):
            print(f"{name}: its process was lost; it was tried again", flush=True)
    return failed


def attempts(function, planned, *_):
    """(what function returns, None), or (None, the error) where it failed twice. _: what it had to wait for."""
    for attempt in ("first", "second"):
        try:
            return function(planned), None
        except Exception as problem:  # whatever it is, it is this run's: the others go on
            error = f"{type(problem).__name__}: {problem}"
            print(f"{planned.name}: the {attempt} try failed, {error}", flush=True)
    return None, error


class ShareOfCores(WorkerPlugin):
    """In each worker: a training has its share of the machine's cores, unless JIGSAW_THREADS says how many.

    workers: {host: how many workers it has}.
    """

    def __init__(self, workers):
        self.workers = workers

    def setup(self, worker):
        share = limits.cores() // self.workers.get(socket.gethostname(), 1)
        os.environ.setdefault("JIGSAW_THREADS", str(max(1, share)))


class Lost(SchedulerPlugin):
    """On the scheduler: names of the runs whose worker was lost while they ran."""

    def __init__(self):
        self.names = set()

    def transition(self, key, start, finish, *_, **__):
        if (start, finish) == ("processing", "released"):
            self.names.add(key)


def lost(dask_scheduler):
    return sorted(dask_scheduler.plugins["lost"].names)
