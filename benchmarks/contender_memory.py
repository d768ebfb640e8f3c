"""How much memory the course takes on data of CIFAR-100's size: last layer on cached features, then fine-tuning.

What is computed is shortened, since it does not change what has to be held: features are made up instead of computed
(in the array, and through the file, that the real ones go through), and few images are trained on.
"""

import collections
import dataclasses
import os
import pathlib
import tempfile
import threading
import time

import numpy as np
from contender import CLASSES, serve

from helpers import experiments, features, nets, solver
from helpers.data import datasets
from helpers.data.examples import Examples

TRAINING, TEST = 50_000, 10_000


def image_set(count, seed):
    rng = np.random.default_rng(seed)
    return datasets.ImageSet(
        rng.integers(256, size=(count, 32, 32, 3), dtype=np.uint8),
        rng.permutation(np.arange(count) % CLASSES),
        tuple(map(str, range(CLASSES))),
    )


def made_up(net, examples, blobs, **_):
    found = {blob: np.empty((len(examples), *net.blobs[blob].shape[1:]), np.float32) for blob in blobs}
    rng = np.random.default_rng(0)
    for pooled in found.values():
        for rows in np.array_split(np.arange(len(examples)), 100):
            pooled[rows] = rng.standard_normal((len(rows), *pooled.shape[1:]), np.float32)
    return found


def family(pid):
    """A process and all that it started."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in family(child))]


def memory_now(pid):
    """{kind: bytes} that a process and its children hold; what several of them share counts once.

    The kinds are those of /proc/PID/smaps_rollup: Pss is Pss_Anon, Pss_Shmem and Pss_File, pages of files that the
    system may drop.
    """
    total = collections.Counter()
    for each in family(pid):
        try:
            lines = pathlib.Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue
        total.update({kind.rstrip(":"): int(size) << 10 for kind, size, _ in map(str.split, lines)})
    return total


def stages():
    """{stage: [peak bytes, of which pages of files that the system may drop]}."""
    peaks, stage, done = {}, ["data"], threading.Event()

    def watch():
        while not done.is_set():
            held = memory_now(os.getpid())
            peaks[stage[0]] = max(peaks.get(stage[0], [0]), [held["Pss"], held["Pss_File"]])
            time.sleep(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    datasets.load_cifar100 = lambda: (image_set(TRAINING, 0), image_set(TEST, 1))
    features.extract_several = made_up
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JIGSAW_CACHE"] = os.environ["JIGSAW_RUNS"] = folder
        study = experiments.cifar100_study()
        stage[0] = "last layer"
        recipe = dataclasses.replace(study.last_layer, max_epochs=1)
        net = nets.instantiate(study.branch("fc6"))
        pooled = [features.cached(folder, net, each) for each in (study.training, study.validation, study.test)]
        run = solver.fit(study.head(), recipe, *pooled[:2], f"{folder}/head", test=pooled[2], progress=False)
        del pooled, run, net
        stage[0] = "fine-tuning"
        few = [Examples(each.inputs[:512], each.labels[:512], each.transform) for each in (study.training,) * 3]
        for each in (study.training, study.validation, study.test):  # an epoch goes over all of them
            each.fingerprint()
        recipe = dataclasses.replace(study.fine_tune, max_epochs=1)
        solver.fit(study.branch(), recipe, *few[:2], f"{folder}/branch", test=few[2], progress=False)
    done.set()
    watcher.join()
    return peaks


if __name__ == "__main__":
    serve(peaks=stages)
