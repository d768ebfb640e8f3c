"""Pretext tasks and labels: what a network is asked about a photograph, all on the same squares, varied alike.

A task is: tiles, how many an example has; tile, their side; variation, how the square is varied; answers, how many
there are; made_by, what decides the examples besides photographs and size; deal(photos, rng), which makes one example,
uint8 (tiles, tile, tile, 3), and its label; and words for the card.

Puzzles show a square in nine tiles. Rotations and labels show the same square in one: a tile as in a puzzle would be a
sixteenth of it, where often neither up nor a class can be seen. One pixel of theirs is four of a puzzle's.
"""

from dataclasses import dataclass

import numpy as np

from helpers import jigsaw


@dataclass(frozen=True, eq=False)
class Puzzles:
    """Which of these permutations, (m, 9), were the nine tiles put in (Noroozi & Favaro, ECCV 2016)?"""

    permutations: np.ndarray
    variation: jigsaw.Variation = jigsaw.Variation()
    cell: int = jigsaw.CELL
    tile: int = jigsaw.TILE
    tiles = jigsaw.GRID**2
    examples, answered_by = "puzzles", "permutations"
    learnt = "jigsaw puzzles alone (Noroozi & Favaro, ECCV 2016); no label of any photograph was used"

    @property
    def shown(self):
        return f"from cells of {self.cell}"

    @property
    def answers(self):
        return len(self.permutations)

    @property
    def made_by(self):
        return np.asarray(self.permutations).tolist(), self.variation, self.cell, self.tile

    def deal(self, photos, rng):
        photo, label = rng.integers([len(photos), self.answers])
        permutation = np.asarray(self.permutations[label])
        return jigsaw.varied_puzzle(photos[photo], permutation, rng, self.variation, self.cell, self.tile), label


@dataclass(frozen=True)
class Rotations:
    """By how many quarter turns was the tile rotated, 0 to 3, counterclockwise (RotNet: Gidaris et al., ICLR 2018)?"""

    variation: jigsaw.Variation = jigsaw.Variation()
    tile: int = jigsaw.TILE
    tiles = 1
    answers = 4
    examples, answered_by = "rotated tiles", "rotations"
    shown = "that show a whole square"
    learnt = "rotations alone (Gidaris, Singh & Komodakis, ICLR 2018); no label of any photograph was used"

    @property
    def made_by(self):
        return "rotations", self.variation, self.tile

    def deal(self, photos, rng):
        photo, label = rng.integers([len(photos), self.answers])
        tile = jigsaw.varied_tile(photos[photo], rng, self.variation, self.tile)
        return np.rot90(tile, label)[None], label


@dataclass(frozen=True)
class Labels:
    """In which of these folders of the archive does the photograph lie? See photo_archive.Photos.labelled."""

    folders: tuple[str, ...]
    variation: jigsaw.Variation = jigsaw.Variation()
    tile: int = jigsaw.TILE
    tiles = 1
    examples, answered_by = "labelled tiles", "folders"
    shown = "that show a whole square"
    learnt = "labels, the folders of the photographs"

    @property
    def answers(self):
        return len(self.folders)

    @property
    def made_by(self):
        return "labels", self.folders, self.variation, self.tile

    def deal(self, photos, rng):
        photo = rng.integers(len(photos))
        tile = jigsaw.varied_tile(photos[photo], rng, self.variation, self.tile)
        return tile[None], self.folders.index(photos.folder(photo))
