"""Snapshots that survive what ends a training: written whole, read back, the one before them kept.

snapshot_<epoch>/ holds last.caffemodel, last.solverstate and tables.json; manifest.json has the size and CRC-32 of each
and says which settings they belong to.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
import zlib

from caffe.proto import caffe_pb2

from helpers.course import write_atomically
from helpers.training.run_folder import Tables

KEPT = 2  # the newest, and the one before it in case the newest is damaged later


def crc_of(settings):
    """CRC-32 of a training's settings (a JSON value)."""
    return zlib.crc32(json.dumps(settings, sort_keys=True).encode())


def save(solver, prefix, folder, tables, settings):
    """Write the snapshot of an epoch, read it back, and return its path; then all but the KEPT newest go.

    Raises OSError, naming the file, where the disk is full; the snapshots before are untouched then.
    """
    caffemodel, solverstate = _states(solver, prefix)
    contents = {
        "last.caffemodel": caffemodel,
        "last.solverstate": solverstate,
        "tables.json": json.dumps(dataclasses.asdict(tables)).encode(),  # unlike CSV, exact to the last bit
    }
    files = {name: [len(content), zlib.crc32(content)] for name, content in contents.items()}
    part = folder / "snapshot.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        for name, content in contents.items():
            write_atomically(part / name, content)
        write_atomically(part / "manifest.json", json.dumps({"settings": crc_of(settings), "files": files}))
    except OSError:
        shutil.rmtree(part, ignore_errors=True)  # gives the room back
        raise
    snapshot = folder / f"snapshot_{len(tables.history):04d}"
    part.rename(snapshot)
    if problem := damage(snapshot, settings):
        raise OSError(f"{snapshot} did not read back as it was written: {problem}. Is the disk in order?")
    for older in sorted(folder.glob("snapshot_????"))[:-KEPT]:
        shutil.rmtree(older)
    return snapshot


def keep_best(folder, snapshot):
    """Make the weights of a snapshot the run folder's best.caffemodel."""
    write_atomically(folder / "best.caffemodel", (snapshot / "last.caffemodel").read_bytes())


def _states(solver, prefix):
    """(caffemodel, solverstate) of a solver, bytes. prefix: the snapshot_prefix in its prototxt, in a local folder.

    Caffe writes files only, and ends the process where a disk is full (io.cpp: CHECK). So it is given files in memory,
    behind symbolic links of the names that it will write.
    """
    with contextlib.ExitStack() as stack:
        files = []
        for suffix in ("caffemodel", "solverstate"):
            file = stack.enter_context(os.fdopen(os.memfd_create(suffix), "rb"))
            link = pathlib.Path(f"{prefix}_iter_{solver.iter}.{suffix}")
            link.symlink_to(f"/proc/self/fd/{file.fileno()}")
            stack.callback(link.unlink)
            files.append(file)
        solver.snapshot()
        return [file.read() for file in files]


def newest(folder, settings):
    """Path of the newest snapshot that is whole and belongs to `settings`; None where there is none.

    One that is not is renamed to damaged_<name>, saying so, and the one before it is looked at.
    """
    for snapshot in sorted(folder.glob("snapshot_????"), reverse=True):
        problem = damage(snapshot, settings)
        if problem is None:
            return snapshot
        aside = snapshot.with_name(f"damaged_{snapshot.name}")
        shutil.rmtree(aside, ignore_errors=True)
        snapshot.rename(aside)
        print(f"{snapshot} cannot be used: {problem}. It is kept as {aside.name}; the one before it is used.")
    return None


def damage(snapshot, settings):
    """What is wrong with a snapshot, in words; None where nothing is."""
    try:
        manifest = json.loads((snapshot / "manifest.json").read_text())
        if manifest["settings"] != crc_of(settings):
            return "it belongs to a training with other settings"
        for name, (size, crc) in manifest["files"].items():
            content = (snapshot / name).read_bytes()
            if len(content) != size:
                return f"{name} has {len(content)} bytes, {size} were written"
            if zlib.crc32(content) != crc:
                return f"{name} is not what was written (CRC-32)"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest or a file is missing or unreadable ({error})"
    return None


def restore(solver, snapshot):
    """Bring a solver to a snapshot that `newest` has found whole; returns its Tables."""
    state = caffe_pb2.SolverState()
    state.ParseFromString((snapshot / "last.solverstate").read_bytes())
    state.ClearField("learned_net")  # a path to weights, as it was when Caffe wrote it
    with tempfile.NamedTemporaryFile(suffix=".solverstate") as file:
        file.write(state.SerializeToString())
        file.flush()
        solver.restore(file.name)
    solver.net.copy_from(str(snapshot / "last.caffemodel"))
    return tables(snapshot)


def tables(snapshot):
    """The Tables of a snapshot."""
    return Tables(**json.loads((snapshot / "tables.json").read_text()))
