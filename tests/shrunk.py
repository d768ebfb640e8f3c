"""The notebooks made small: the same cells, with one more behind the set-up that leaves seconds of training."""

import nbformat
from conftest import ROOT

SHRINK = """\
import dataclasses
from helpers import experiments, recipes

recipes.PHOTOS_CROPS = (48, 16, 20)
experiments.PUZZLES = 96
for name in ("PHOTOS_PRETEXT", "PHOTOS_LAST_LAYER", "PHOTOS_FINE_TUNE"):
    setattr(recipes, name, dataclasses.replace(getattr(recipes, name), max_epochs=2))
"""


def notebook(stem):
    """The notebook of that stem, e.g. "03_last_layer", shrunk; 20 rather than 100 test images of each class."""
    shrunk = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)
    shrunk.cells.insert(2, nbformat.v4.new_code_cell(SHRINK))
    return shrunk


def write(folder, *stems):
    """Shrunk notebooks in folder/notebooks, beside a link to the helpers, as the set-up cell looks for them."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "helpers").symlink_to(ROOT / "helpers")
    for stem in stems:
        nbformat.write(notebook(stem), folder / "notebooks" / f"{stem}.ipynb")
