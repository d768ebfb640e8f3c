#!/usr/bin/env python3
"""Draw the README's pictures from recorded/, the shipped weights and a photograph: scripts/pictures.py [FOLDER]

The wide one, from puzzle to result, for light pages and for dark ones, and three figures of the notebooks.
"""

import io
import pathlib
import sys

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from PIL import Image

from helpers import course, data, jigsaw, study, zoo
from helpers.plots import style
from helpers.plots.filters import filter_pictures

FOLDER = course.ROOT / "site" / "images"
PAPER = {"light": ("white", "#1f2328"), "dark": ("#0d1117", "#e6edf3")}  # GitHub's own: page, ink
BLOCKS = (("conv1", 27, 96), ("conv2", 13, 256), ("conv3", 6, 384), ("conv4", 6, 384), ("conv5", 6, 256))


def accuracies():
    """{start: (mean, half of the 95 % interval, seeds)} of the last layer on frozen convolutions, CIFAR-100."""
    rows = study.rows().query("data == 'cifar100' and section == 'last layer'")
    found = study.over_seeds(rows, "start")
    return {start: tuple(found.loc[start, ["accuracy", "half_width", "seeds"]]) for start in ("jigsaw", "he")}


def hero(paper):
    """The wide picture: a puzzle, the branch that solves it, its filters, and what they are worth."""
    ground, ink = PAPER[paper]
    figure = Figure(figsize=(12, 3.3), facecolor=ground, layout="none")

    def axes(left, width, title, **look):
        made = figure.add_axes((left, 0.09, width, 0.76), facecolor=ground, **look)
        figure.text(left + width / 2, 0.93, title, ha="center", color=ink, fontsize=13, fontweight="bold")
        return made

    tiles = jigsaw.cut_tiles(data.load_photos()["chelsea"], rng=3)
    shuffled = jigsaw.shuffle_tiles(tiles, np.array([9, 4, 7, 1, 8, 3, 5, 2, 6]))
    gaps = jigsaw.assemble(np.zeros_like(shuffled), 6)[..., :1]
    axes(0.005, 0.21, "solve puzzles").imshow(np.dstack([jigsaw.assemble(shuffled, 6), 255 - gaps]))
    branch(axes(0.245, 0.235, "keep the branch", xlim=(0, 10), ylim=(0, 7.6)), ink)
    pictures = filter_pictures(zoo.load("ours")["conv1_s1"][0])
    pictures = np.concatenate([pictures, np.full_like(pictures[..., :1], 255)], axis=-1)
    axes(0.505, 0.25, "look at what it learnt").imshow(
        jigsaw.assemble(pictures, 1, 12, fill=0), interpolation="nearest"
    )
    for one in figure.axes:
        one.axis("off")
    bars(axes(0.795, 0.2, "use it on 100 classes", xlim=(0, 0.66), ylim=(-1, 1.6)), ink)
    for left in (0.218, 0.482, 0.765):
        figure.text(left, 0.47, "➜", color=ink, fontsize=20, va="center")
    return figure


def branch(axes, ink):
    """Five convolutions as blocks, high as their maps and wide as their channels are many, then the new fc6."""
    left = 0.2
    for name, side, channels in BLOCKS:
        height, width, slant = 0.75 + 5 * np.sqrt(side / 27) * 0.8, 0.1 + channels / 420, 0.45
        low = 3.6 - height / 2
        face = [(left, low), (left + width, low), (left + width, low + height), (left, low + height)]
        roof = [face[3], face[2], (left + width + slant, low + height + slant), (left + slant, low + height + slant)]
        flank = [face[1], roof[2], (left + width + slant, low + slant)]
        flank = [face[1], (left + width + slant, low + slant), roof[2], face[2]]
        for points, share in ((face, 0.9), (roof, 0.6), (flank, 0.75)):
            axes.add_patch(Polygon(points, facecolor=style.BLUE, alpha=share, edgecolor=ink, linewidth=0.6))
        axes.text(left + width / 2, low - 0.15, name, ha="center", va="top", color=ink, fontsize=9)
        left += width + slant + 0.42
    axes.add_patch(Polygon([(left, 1.2), (left + 0.35, 1.2), (left + 0.35, 6), (left, 6)], color=style.VERMILLION))
    axes.text(left + 0.17, 1.05, "new fc6", ha="center", va="top", color=ink, fontsize=9)


def bars(axes, ink):
    """Test accuracy of the new layer on frozen convolutions, from puzzles and from random ones."""
    for place, (start, words, hue) in enumerate((("he", "random", style.ORANGE), ("jigsaw", "puzzles", style.BLUE))):
        mean, half, _ = accuracies()[start]
        axes.barh(place, mean, color=hue, height=0.62, xerr=half, ecolor=ink, capsize=3)
        axes.text(mean + half + 0.02, place, f"{mean:.1%}", va="center", color=ink, fontsize=14, fontweight="bold")
        axes.text(0.012, place, words, va="center", color="white" if start == "jigsaw" else "black", fontsize=12)
    axes.text(0, -0.45, "right answers on CIFAR-100;\nchance: 1 %", va="top", color=ink, fontsize=9)
    axes.axis("off")


def figures():
    """{name: Figure}: three of the notebooks' curves, as small as a README wants them."""
    rows = study.rows().query("data == 'cifar100'")
    by_layer = study.over_seeds(rows.query("section in ['feature', 'last layer']"), ["start", "feature"])
    names = {"jigsaw": "puzzles, shipped"} | {task: task for task in study.plan.TASKS} | {"he": "random"}
    names = {start: words for start, words in names.items() if start in by_layer.index}
    came_from = {words: study.LEARNT_FROM[start] for start, words in names.items()}
    budgets = rows.query("section in ['labels', 'last layer']").fillna({"per_class": 425})
    by_labels = study.over_seeds(budgets, ["start", "per_class"])
    starts = {"puzzles, shipped": "fine_tune_jigsaw", "random": "scratch"}
    tuned = {words: study.load(f"cifar100_{name}_s0").history.set_index("epoch") for words, name in starts.items()}
    layers = [*study.PROBED, "pool5"]
    return {
        "layers": small(
            "which layer is worth most?",
            "layer that a linear classifier reads",
            {words: by_layer.loc[start, "accuracy"].reindex(layers) for start, words in names.items()},
            came_from,
        ),
        "labels": small(
            "with fewer labels?",
            "labelled images per class",
            {words: by_labels.loc[start, "accuracy"].rename(index="{:.0f}".format) for start, words in names.items()},
            came_from,
        ),
        "epochs": small(
            "when all layers learn?",
            "epoch (validation)",
            {words: history["validation_accuracy"] for words, history in tuned.items()},
            came_from,
        ),
    }


def small(title, xlabel, curves, starts):
    """A figure of accuracies, {words: Series}; starts: {words: start}, see style.hues."""
    with rc_context(style.COURSE | {"font.size": 12}):
        figure = Figure(figsize=(4, 3), layout="constrained")
        axes = figure.add_subplot(xlabel=xlabel, ylabel="accuracy (%)", title=title)
        for marker, (words, curve), hue in zip("osDv^", curves.items(), style.hues(curves, starts).values()):
            axes.plot(curve.index, 100 * curve, marker=marker, color=hue, label=words)
        axes.legend(loc="best", ncols=1 + (len(curves) > 2), fontsize=10)
        axes.set_ylim(0, 60)
    return figure


def written(figure, path, ground="white"):
    """Save a figure as WebP, as wide as it is at 100 dots per inch, twice over."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, facecolor=ground)
    Image.open(buffer).convert("RGB").save(path, quality=88, method=6)


def main(folder=FOLDER):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for paper, (ground, _) in PAPER.items():
        written(hero(paper), folder / f"hero-{paper}.webp", ground)
    for name, figure in figures().items():
        written(figure, folder / f"{name}.webp")


if __name__ == "__main__":
    main(*sys.argv[1:])
