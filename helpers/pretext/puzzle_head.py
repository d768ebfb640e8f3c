"""The shipped trunk solves puzzles: with a head, fc6 to fc8, that names the permutation.

    python -m helpers.pretext.puzzle_head --photos PHOTOS.zip --folder runs/head   trains the head on the frozen trunk
    python -m helpers.pretext.puzzle_head --photos PHOTOS.zip --check              scores what ships again

The head that the trunk learned with, 42 million numbers, is scaffolding and does not ship. This one is small. Since the
trunk is frozen, pool5 of the tiles is computed once, and dealing a puzzle is putting nine of them in another order.
"""

import argparse
import pathlib
import re
import sys
import zlib

import numpy as np

from helpers import course, evaluation, features, jigsaw, nets, recipes, solver, weights, zoo
from helpers.data import datasets, downloads, photo_archive, puzzle_stream
from helpers.data.examples import Examples
from helpers.pretext import tasks, trunks
from helpers.pretext.card import filled
from helpers.training import run_folder

FC6, FC7 = 256, 768  # units, where the CFN has 1024 and 4096
LAYERS = ("fc6_s1", "fc7", "fc8")
CUTS = 2  # times that each photograph is cut to train on
TOLERANCE = 0.002  # of an accuracy: other processors round differently
FILE, CARD = zoo.PRETRAINED / "cfn_jigsaw_head.caffemodel", zoo.PRETRAINED / "cfn_jigsaw_head.md"
DIGEST = "sha256:2c1ff54d882a2269a8ba86c536da98a218600b6a72a990496b019d4cff3b6d7a"  # of FILE
SHOWN = 500  # puzzles of the ten photographs of the course, of which neither trunk nor head has seen any


class ShuffledFeatures:
    """Training examples for solver.fit: each epoch deals every row of `tiles` once, in a random permutation.

    tiles: (n, 9, ...) activations of tiles in solved order. permutations: (m, 9).
    """

    def __init__(self, tiles, permutations):
        self.tiles, self.permutations = tiles, np.asarray(permutations)

    def __len__(self):
        return len(self.tiles)

    def batch(self, rows, labels=None):
        """(data, labels), float32, of these rows in the permutations of these labels; by default the first one."""
        labels = np.zeros(len(rows), np.int64) if labels is None else labels
        data = self.tiles[rows[:, None], self.permutations[labels] - 1]
        return data.astype(np.float32), labels.astype(np.float32)

    def epoch(self, size, seed, epoch):
        """Yield all rows once, in batches; (seed, epoch) decides their order and their permutations."""
        rng = np.random.default_rng([seed, epoch])
        order, labels = rng.permutation(len(self)), rng.integers(len(self.permutations), size=len(self))
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.batch(order[part], labels[part])

    def label_range(self):
        """Lowest and highest label."""
        return 0, len(self.permutations) - 1

    def fingerprint(self):
        """CRC-32 of features and permutations."""
        return zlib.crc32(np.ascontiguousarray(self.permutations), zlib.crc32(np.ascontiguousarray(self.tiles)))


def permutations():
    """The shipped set, int64 (100, 9), that label i of the head's answers refers to."""
    return jigsaw.load_permutations(zoo.PRETRAINED / "permutations_100.bin")


def whole():
    """The prototxt of trunk and head: blobs data (N, 27, 64, 64), fc8 (N, 100)."""
    return nets.stacked_cfn(len(permutations()), batch_size=16, fc6=FC6, fc7=FC7, fillers="he", dropout=False)


def load(head=FILE):
    """A caffe.Net that solves puzzles, of the prototxt `whole`: the shipped trunk and a head."""
    net = nets.instantiate(whole())
    weights.transplant(zoo.load("ours"), net)
    if head == FILE:
        downloads.verify(head, DIGEST)
    weights.transplant(weights.read(head), net, LAYERS)
    return net


def net_of_head():
    """The prototxt of fc6 to fc8, without BatchNorm, from the nine tiles' pool5 to the scores of the permutations."""
    return nets.up_to(nets.puzzle_head(len(permutations()), (256, 3, 3), 1, FC6, FC7, batch_norm=False), "fc8")


def answers(net, puzzles):
    """Probabilities of the permutations, float64 (N, 100), for uint8 puzzles (N, 9, 64, 64, 3), tiles shuffled."""
    return evaluation.probabilities(net, Examples(puzzles, np.zeros(len(puzzles)), jigsaw.to_caffe), batch_size=16)


def held_out(photos, seed=0):
    """(puzzles, labels) of the photographs of an archive that trunks.train held out: those that it scored on."""
    task, held_out = tasks.Puzzles(permutations()), photos.split(trunks.HELD_OUT_EVERY)[1]
    return puzzle_stream.Stream(task, held_out, 1, 1, workers=0).examples(seed, 0, range(trunks.HELD_OUT_PUZZLES))


def shown():
    """(puzzles, labels) of the photographs that come with the course's dependencies, as scored in the card."""
    photos = list(datasets.load_photos().values())
    rng, order = np.random.default_rng(0), permutations()
    labels = rng.integers(len(order), size=SHOWN)
    cut = [jigsaw.varied_puzzle(photos[i % len(photos)], order[label], rng) for i, label in enumerate(labels)]
    return np.stack(cut), labels


def score(net, puzzles, labels):
    """Share of the puzzles that the net solves, in [0, 1]."""
    return evaluation.accuracy(answers(net, puzzles), labels)


def tile_features(photos, folder):
    """pool5 of nine tiles of each photograph, CUTS times: float16 (CUTS * len(photos), 9, 256, 3, 3), solved order."""
    net = nets.instantiate(nets.branch(1, "fc6"))
    weights.transplant(zoo.load("ours"), net)
    solved, rounds = np.arange(1, 10), []
    for cut in range(CUTS):
        tiles = [jigsaw.varied_puzzle(photos[i], solved, np.random.default_rng([cut, i])) for i in range(len(photos))]
        labels = np.zeros(9 * len(photos))
        images = Examples(np.concatenate(tiles), labels, lambda batch: jigsaw.to_caffe(batch[:, None]), "to_caffe")
        rounds.append(features.cached(folder, net, images).inputs.astype(np.float16))
        print(f"pool5 of {9 * len(photos):,} tiles, {cut + 1} of {CUTS}", flush=True)
    return np.concatenate(rounds).reshape(CUTS * len(photos), 9, *rounds[0].shape[1:])


def train(photos, folder, seed=0):
    """The Run of a head on the frozen trunk. photos: photo_archive.Photos, split as trunks.train splits them."""
    order = permutations()
    every = photos.split(trunks.HELD_OUT_EVERY)
    training, validation = (
        ShuffledFeatures(tile_features(part, course.run_folder("puzzle_features")), order) for part in every
    )
    labels = np.random.default_rng(seed).integers(len(order), size=len(validation))
    scored = Examples(*validation.batch(np.arange(len(validation)), labels))
    net = nets.puzzle_head(len(order), training.tiles.shape[2:], recipes.CFN_HEAD.batch_size, FC6, FC7)
    return solver.fit(net, recipes.CFN_HEAD, training, scored, folder, seed=seed, progress=False)


def card(run, archive, photos, accuracies, command):
    """The head's card, Markdown; accuracies: (held-out photographs of the archive, photographs of the course)."""
    trained = len(photos.split(trunks.HELD_OUT_EVERY)[0])
    return filled(
        "head_card.md",
        fc6=FC6,
        fc7=FC7,
        accuracies=accuracies,
        scored=trunks.HELD_OUT_PUZZLES,
        shown=SHOWN,
        trained=trained,
        archive=archive,
        cuts=CUTS,
        fingerprint=photos.fingerprint(),
        seen=run.result["epochs"] * CUTS * trained,
        recipe=run.result["settings"]["recipe"],
        result=run.result,
        made=run_folder.in_words(run.result["made"]),
        command=command,
    )


def check(photos=None):
    """Score the shipped trunk and head again: [(what, stated in the card, measured now)], shares in [0, 1].

    photos: the archive that the card names; without it the photographs of the course alone are scored. Raises
    ValueError for another archive.
    """
    text = CARD.read_text()
    exams = {"On the photographs of the course": shown()}
    if photos is not None:
        if f"{photos.fingerprint():08x}" not in text:
            raise ValueError(f"these are not the photographs that {CARD.name} is about; leave --photos out")
        exams["Held-out accuracy"] = held_out(photos)
    stated = {what: float(re.search(rf"\*\*{what}\*\*: ([\d.]+)%", text)[1]) / 100 for what in exams}
    net = load()
    return [(what, stated[what], score(net, *exam)) for what, exam in exams.items()]


def main(words=None):
    """The command: train a head and write it with its card, or score what ships."""
    parser = argparse.ArgumentParser(prog="python -m helpers.pretext.puzzle_head", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=pathlib.Path, help="zip of photographs, the trunk's")
    parser.add_argument("--folder", type=pathlib.Path, help="run folder of a head to train")
    parser.add_argument("--check", action="store_true", help="score the shipped weights; train nothing")
    chosen = parser.parse_args(words)
    if not (chosen.check or (chosen.photos and chosen.folder)):
        parser.error("give --check, or --photos and --folder to train a head")
    photos = photo_archive.read(chosen.photos, puzzle_stream.spare_cores()) if chosen.photos else None
    if chosen.check:
        found = check(photos)
        for what, stated, measured in found:
            print(f"{what}: {measured:.1%} of the puzzles, {stated:.1%} in the card")
        return 0 if all(abs(stated - measured) < TOLERANCE for _, stated, measured in found) else 1
    run = train(photos, chosen.folder)
    weights.write(run.folder / "head.caffemodel", weights.fold_batch_norm(run.weights()), net_of_head())
    net = load(run.folder / "head.caffemodel")
    command = run_folder.command("helpers.pretext.puzzle_head", words)
    accuracies = [score(net, *exam) for exam in (held_out(photos), shown())]
    course.write_atomically(run.folder / "head.md", card(run, chosen.photos.name, photos, accuracies, command))
    print(f"{run.result['status']}: {run.folder}/head.caffemodel and head.md, {accuracies[0]:.1%} of held-out puzzles")
    return 0


if __name__ == "__main__":
    sys.exit(main())
