"""Data parallelism: N processes train on one batch together, each with its share of it.

    result = parallel.run(4, function, *arguments)    # calls function(team, *arguments) in four processes

Caffe multiplies image by image, and such small matrices gain nothing from a second BLAS thread; a second process does
nearly double the work done. There are two engines and one interface, a team with `rank`, `size`, `sum` and `share`:

- in a notebook or script, `run` copies this process (fork) and adds over shared memory;
- under `mpiexec -n 4 python script.py`, on one machine or several that share a file system, mpi4py adds.

Why a notebook does not spawn MPI processes: with MPICH 5.0.2 the kernel ends when one of them is killed, and also where
mpiexec is not on the path. Here a lost process is an exception.
"""

import mmap
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import course

SMALLEST_SHARE = 8  # examples; with fewer in each process, waiting for each other costs what the second one gains


class Team:
    """The caller (rank 0) and its copies. memory: shared float32 (size + 1, numbers); pipes: to the others."""

    def __init__(self, rank=0, size=1, memory=None, pipes=()):
        self.rank, self.size, self.pipes, self._memory = rank, size, pipes, memory

    def sum(self, arrays, weight=1.0):
        """Replace each float32 array by the sum over all processes of weight times it, the same bits in each."""
        if self.size == 1:
            return
        mine, total = self._memory[self.rank], self._memory[self.size]
        count = sum(array.size for array in arrays)
        for array, place in zip(arrays, _places(arrays, mine)):
            np.multiply(array, weight, out=place)
        self.wait()
        part = slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)
        np.sum(self._memory[: self.size, part], axis=0, out=total[part])
        self.wait()
        for array, place in zip(arrays, _places(arrays, total)):
            array[...] = place

    def complete(self, array):
        """Make an array of `shared_array`, of which each process has filled some rows, whole in all of them."""

    def share(self, value=None):
        """Rank 0's value, in every process."""
        if self.rank:
            return self._receive(self.pipes[0])
        for pipe in self.pipes:
            self._send(pipe, value)
        return value

    def wait(self):
        """Return when all processes have called this."""
        for pipe in self.pipes:
            if self.rank:
                self._send(pipe, None)
            else:
                self._receive(pipe)
        self.share()

    def _send(self, pipe, value):
        try:
            pipe.send(value)
        except (BrokenPipeError, ConnectionResetError):
            while True:  # what the other one said last tells why, or that it died
                self._receive(pipe)

    def _receive(self, pipe):
        try:
            message = pipe.recv()
        except (EOFError, ConnectionResetError):
            if self.rank:  # the caller has gone, and with it all reason to go on
                os._exit(1)
            raise RuntimeError(
                f"one of the {self.size} processes that train together has died; was it killed for memory? "
                "Go on with processes=1 or a smaller batch_size; finished epochs are saved"
            ) from None
        if isinstance(message, _Failure):
            raise RuntimeError(f"one of the {self.size} processes that train together failed:\n{message}")
        return message


def _places(arrays, flat):
    """Where each array has its numbers in `flat`, one behind the other: views of the arrays' shapes."""
    ends = np.cumsum([array.size for array in arrays])
    return [flat[end - array.size : end].reshape(array.shape) for array, end in zip(arrays, ends)]


class _Failure(str):
    """The traceback of a process that failed, on its way to the caller."""


class MpiTeam:
    """The processes that mpiexec started, with Team's interface."""

    def __init__(self):
        from mpi4py import MPI

        self._mpi, self._all = MPI, MPI.COMM_WORLD
        self.rank, self.size = self._all.rank, self._all.size

    def sum(self, arrays, weight=1.0):
        flat = np.concatenate([array.reshape(-1) for array in arrays]) * np.float32(weight)
        self._all.Allreduce(self._mpi.IN_PLACE, flat)
        for array, place in zip(arrays, _places(arrays, flat)):
            array[...] = place

    def complete(self, array):
        self._all.Allreduce(self._mpi.IN_PLACE, array)  # what a process has not filled is zero

    def share(self, value=None):
        return self._all.bcast(value)


def under_mpi():
    """Whether mpiexec started this process (MPICH and Intel MPI set PMI_SIZE, Open MPI its own variable)."""
    return int(os.environ.get("PMI_SIZE") or os.environ.get("OMPI_COMM_WORLD_SIZE") or 1) > 1


def _abort(kind, error, trace):
    """sys.excepthook under mpiexec: the others would wait for this process for ever, so all end, with its message."""
    from mpi4py import MPI

    message = "".join(traceback.format_exception(kind, error, trace))
    print(
        f"{message}Process {MPI.COMM_WORLD.rank} of {MPI.COMM_WORLD.size} failed, so all end.",
        file=sys.stderr,
        flush=True,
    )
    time.sleep(1)  # mpiexec passes the message on; what it has not read at the end is lost
    MPI.COMM_WORLD.Abort(1)


if under_mpi():
    sys.excepthook = _abort


def world():
    """The team that this process belongs to before `run`: mpiexec's, or itself alone."""
    return MpiTeam() if under_mpi() else Team()


def count(wanted, batch_size, worth=True, obstacle=None):
    """How many processes should share batches of `batch_size` examples: `wanted`, or what is best where it is "auto".

    wanted: a number, "auto", or None for the environment variable JIGSAW_PROCESSES, "auto" where that is not set.
    "auto" is one process per core that we may use, but one alone where the batches are small, where it is not `worth`
    more, or where there is an `obstacle` (in words). Under mpiexec it is mpiexec's number.
    Raises ValueError for what is no possible number, and for more than one where there is an obstacle.
    """
    wanted = world().size if under_mpi() else wanted or course.variable("JIGSAW_PROCESSES")
    if wanted == "auto":
        cores = len(os.sched_getaffinity(0))
        return max(1, min(cores, batch_size // SMALLEST_SHARE)) if worth and not obstacle else 1
    if not str(wanted).isdecimal() or not 1 <= int(wanted) <= batch_size:
        raise ValueError(
            f"processes (or JIGSAW_PROCESSES) is {wanted!r}; choose 'auto' or a number from 1 to the batch size "
            f"({batch_size})"
        )
    if int(wanted) > 1 and obstacle:
        raise ValueError(f"processes (or JIGSAW_PROCESSES) is {wanted}, but {obstacle}; choose 1 or 'auto'")
    return int(wanted)


def shared_array(shape):
    """float32 zeros that processes started later by `run` write into for the caller to see."""
    size = int(np.prod(shape))
    return np.frombuffer(mmap.mmap(-1, max(1, 4 * size)), np.float32, size).reshape(shape)


def run(size, function, *arguments, numbers=0):
    """What function(team, *arguments) returns in this process, while size - 1 copies of it call the same function.

    numbers: float32 values in the largest Team.sum. The copies end with the call and ignore Ctrl-C; of what they do,
    only what they write into shared arrays comes back. Raises RuntimeError where a copy dies or fails.
    Each process has one BLAS thread meanwhile, whoever imported what first.
    """
    with threadpool_limits(1):
        if under_mpi():
            return function(world(), *arguments)
        if size == 1:
            return function(Team(), *arguments)
        return _with_copies(size, function, arguments, numbers)


def _with_copies(size, function, arguments, numbers):
    fork, memory = multiprocessing.get_context("fork"), shared_array((size + 1, numbers))
    pipes = [fork.Pipe() for _ in range(size - 1)]
    copies = [
        fork.Process(target=_copy, args=(rank, size, memory, pipes, function, arguments), daemon=True)
        for rank in range(1, size)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python and JAX warn of their threads, none of which a copy needs
        for copy in copies:
            copy.start()
    for _, theirs in pipes:
        theirs.close()
    team = Team(0, size, memory, [ours for ours, _ in pipes])
    try:
        result = function(team, *arguments)
        team.wait()
        return result
    finally:
        for pipe, copy in zip(team.pipes, copies):
            pipe.close()
            copy.kill()
            copy.join()


def _copy(rank, size, memory, pipes, function, arguments):
    """What a copy does: the function, and telling the caller where it fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, (ours, theirs) in enumerate(pipes, start=1):
        ours.close()
        if number != rank:
            theirs.close()
    team = Team(rank, size, memory, [pipes[rank - 1][1]])
    try:
        with threadpool_limits(1):
            function(team, *arguments)
        team.wait()
    except Exception:
        team.pipes[0].send(_Failure(traceback.format_exc()))
