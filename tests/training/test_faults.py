"""What can go wrong in a training, as one table: what a notebook sees, and what is left intact.

Each fault happens in a process of its own, a stand-in for the kernel, which must be alive afterwards. Downloads and
foreign files have tables of their own: test_downloads, test_archives, test_fuzz. Killed processes: test_resume.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import traceback

import numpy as np
import pytest
from PIL import Image
from small_training import RECIPE, assert_same, examples, fit, halted, net, snapshots_of

from helpers import nets, solver, weights
from helpers.data import fruits360, preprocessing
from helpers.data.examples import Examples
from helpers.training import run_folder

TRAINING, VALIDATION = examples(30, 1), examples(10, 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The training as it is when nothing goes wrong."""
    return fit(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    """A run folder with two epochs of it."""
    return halted(tmp_path_factory.mktemp("halted") / "run", 2)


@pytest.fixture
def small_disk():
    """A folder of 512 KB on a disk of its own, where any user may look."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=755", "none", folder]).returncode == 0
        if not mounted:
            pytest.skip("no disk can be mounted here")
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def in_kernel(cell, *arguments):
    """(type's name, text) of the exception of a cell, run in a process that has to survive it; None: no exception."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()

    def kernel():
        seen = None
        try:
            cell(*arguments)
        except BaseException as error:
            seen = type(error).__name__, str(error)
        nets.instantiate(nets.head(2, (1, 2, 2), 1)).forward()  # Caffe still works
        theirs.send(seen)

    process = fork.Process(target=kernel)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        pytest.fail(f"the kernel died: exit code {process.exitcode}")
    finally:
        process.join()


def train(folder, training=TRAINING, validation=VALIDATION, recipe=RECIPE, **kwargs):
    return solver.fit(net(), recipe, training, validation, folder, progress=False, **kwargs)


def changed(inputs=None, labels=None):
    inputs = TRAINING.inputs if inputs is None else inputs
    return Examples(inputs, TRAINING.labels if labels is None else labels)


def spoilt(value, where):
    inputs = TRAINING.inputs.copy()
    inputs[where] = value
    return changed(inputs)


def wrong_shape(folder):
    train(folder, changed(TRAINING.inputs[:, :, :4]))


def lengths_differ(folder):
    train(folder, changed(TRAINING.inputs[:7]))


def label_too_high(folder):
    train(folder, changed(labels=TRAINING.labels + 1))


def label_negative(folder):
    train(folder, changed(labels=TRAINING.labels - 1))


def nan_first(folder):
    train(folder, spoilt(np.nan, 0))


def nan_later(folder):
    train(folder, spoilt(np.nan, 17))


def infinity(folder):
    train(folder, spoilt(np.inf, 17))


def nan_in_validation(folder):
    validation = Examples(
        np.where(np.arange(10)[:, None, None, None] == 5, np.nan, VALIDATION.inputs), VALIDATION.labels
    )
    train(folder, validation=validation)


def constant_images(folder):
    preprocessing.channel_statistics(np.full((4, 8, 8, 3), 7, np.uint8))


def no_images(folder):
    train(folder, Examples(TRAINING.inputs[:0], TRAINING.labels[:0]))


def batch_too_large(folder):
    train(folder, recipe=dataclasses.replace(RECIPE, batch_size=10**9))


def batch_beyond_an_int(folder):
    """Caffe counts a blob's numbers in an int; Linux would promise the memory."""
    branch = nets.branch(3, "all", 40_000, "he")
    images = Examples(np.zeros((2, 3, 64, 64), np.float32), np.zeros(2, int))
    solver.fit(branch, dataclasses.replace(RECIPE, batch_size=40_000), images, images, folder, progress=False)


def weights_of_another_net(folder):
    other = weights.of(nets.instantiate(nets.head(3, (7, 2, 2), 1)))
    train(folder, initial=other, layers=["fc6"])


def weights_without_the_layer(folder):
    train(folder, initial={"conv1": [np.zeros(3)]}, layers=["fc6"])


def a_snapshot_is_no_caffemodel(folder):
    weights.read(snapshots_of(folder)[-1] / "last.solverstate")


def fruit_folder(folder):
    for split in ("Training", "Test"):
        for name in ("Apple Braeburn", "Banana"):
            (folder / split / name).mkdir(parents=True)
            for index in range(4):
                Image.new("RGB", (100, 100), (index, 0, 0)).save(folder / split / name / f"{index}_100.jpg")
    return folder


def empty_class_folder(folder):
    for path in (fruit_folder(folder / "fruits") / "Training" / "Banana").iterdir():
        path.unlink()
    fruits360.load(folder / "fruits", every=1, classes=["Apple Braeburn", "Banana"])


def not_an_image(folder):
    (fruit_folder(folder / "fruits") / "Training" / "Banana" / "3_100.jpg").write_text("<html>404</html>")
    fruits360.load(folder / "fruits", every=1, classes=["Apple Braeburn", "Banana"])


def goes_on_after(change):
    """A cell that goes on with the training of the run folder while `change` is so."""

    def cell(folder):
        change(folder)
        fit(folder)

    return cell


def disk_full(folder):
    """No room left but for what replaces a small file: the prototxts can be written, the next snapshot cannot."""
    filler = folder.with_name("filler")
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    os.truncate(filler, filler.stat().st_size - 3 * 4096)


def read_only(folder):
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() == 0:
        os.setuid(65534)  # nobody: nothing is read-only for root


def diverges(folder):
    """From the fourth epoch on the loss is not finite, as with a base_lr that is too high."""
    training = examples(30, 1)

    def spoil(row, _):
        if row["epoch"] == 3:
            training.inputs[:] = np.nan

    solver.fit(net(), RECIPE, training, VALIDATION, folder, test=examples(10, 3), progress=False, on_epoch=spoil)


def second_notebook(folder):
    locked, done = threading.Event(), threading.Event()

    def first():  # flock belongs to an open file, so a second one in the same process counts as another's
        with run_folder.locked(folder):
            locked.set()
            done.wait()

    thread = threading.Thread(target=first)
    thread.start()
    locked.wait()
    try:
        fit(folder)
    finally:
        done.set()
        thread.join()


BEFORE = [  # refused before anything is trained: (cell, exception, words)
    (wrong_shape, "ValueError", "data blob takes (4, 5, 5) per example, these give (4, 4, 5)"),
    (lengths_differ, "ValueError", "7 inputs and 30 labels"),
    (no_images, "ValueError", "at least one"),
    (label_too_high, "ValueError", "labels run from 1 to 3, the net has 3 outputs"),
    (label_negative, "ValueError", "labels run from -1"),
    (nan_first, "ValueError", "holds NaN or infinity"),
    (nan_later, "FloatingPointError", "look for NaN in the inputs"),
    (infinity, "FloatingPointError", "look for NaN in the inputs"),
    (nan_in_validation, "FloatingPointError", "the validation loss is nan"),
    (constant_images, "ValueError", "every pixel has the same value in red, green, blue"),
    (empty_class_folder, "ValueError", "Banana"),
    (not_an_image, "ValueError", "3_100.jpg"),
    (batch_too_large, "MemoryError", "batch_size is 1000000000"),
    (batch_beyond_an_int, "MemoryError", "Choose a batch_size of at most"),
    (weights_of_another_net, "ValueError", "layer fc6: the weights have shapes [(3, 28), (3,)], the net"),
    (weights_without_the_layer, "KeyError", "the weights hold no layer fc6; they hold conv1"),
    (a_snapshot_is_no_caffemodel, "ValueError", "last.solverstate"),
]
DURING = [  # the training stops; the epochs before are there, and the next call goes on to the same end
    (goes_on_after(disk_full), "OSError", "No space left on device; what was saved before is there. Make room"),
    (goes_on_after(read_only), "PermissionError", "choose another folder"),
    (diverges, "FloatingPointError", "lower base_lr (0.002)"),
    (second_notebook, "RuntimeError", "another process is training in"),
]


@pytest.mark.parametrize("cell, exception, words", BEFORE, ids=[row[0].__name__ for row in BEFORE])
def test_refused_before_anything_is_lost(tmp_path, two_epochs, cell, exception, words):
    """A finished part of another training in the same folder stays as it was, there or moved aside."""
    folder = tmp_path / "run"
    shutil.copytree(two_epochs, folder)
    name, text = in_kernel(cell, folder)
    assert (name, words in text) == (exception, True), text
    kept = next(path for path in (folder, tmp_path / "run.1") if snapshots_of(path))
    assert [path.name for path in snapshots_of(kept)] == ["snapshot_0001", "snapshot_0002"]
    assert (kept / "best.caffemodel").read_bytes() == (two_epochs / "best.caffemodel").read_bytes()


@pytest.mark.parametrize(
    "cell, exception, words", DURING, ids=["disk_full", "read_only", "diverging_loss", "two_notebooks"]
)
def test_stopped_and_gone_on_with(small_disk, two_epochs, whole, cell, exception, words):
    folder = small_disk / "run"
    shutil.copytree(two_epochs, folder)
    name, text = in_kernel(cell, folder)
    assert (name, words in text) == (exception, True), text
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert len(snapshots_of(folder)) >= 2
    assert not list(folder.glob("*.part"))
    (small_disk / "filler").unlink(missing_ok=True)
    assert_same(fit(folder), whole)


def interrupt(folder, delay):
    def while_training(number, frame):  # on a fast machine all is over before the timer is
        if any(call.name == "train" for call in traceback.extract_stack(frame)):
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, while_training)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    fit(folder, on_epoch=lambda row, _: timer.start() if row["epoch"] == 1 else None)
    timer.join()


@pytest.mark.parametrize("delay", [0.001, 0.004, 0.01, 0.03])
def test_ctrl_c_in_the_middle_of_a_step(tmp_path, whole, delay):
    """At several moments after the first epoch was saved; the call returns what is whole, the next one goes on."""
    assert in_kernel(interrupt, tmp_path / "run", delay) is None
    assert_same(fit(tmp_path / "run"), whole)
