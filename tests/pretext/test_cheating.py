"""The networks that are trained without a precaution: their puzzles, the command, and what is recorded."""

import dataclasses

import numpy as np
import pytest

from helpers import experiments, recipes
from helpers.data import photo_archive
from helpers.pretext import cheating
from helpers.study import records


@pytest.fixture(scope="module")
def pictures(photos):  # noqa: F811
    return photo_archive.read(photos)


def puzzle(pictures, name, **changes):
    """Tiles of a colour puzzle in solved order, and as the net is fed them."""
    kind = cheating.KINDS[name]
    kind = dataclasses.replace(kind, variation=dataclasses.replace(kind.variation, flip=0, grey=0, shift=0, **changes))
    with cheating.stream(pictures, kind, 8, 8) as stream:
        stream.task = dataclasses.replace(stream.task, permutations=np.arange(1, 10)[None])
        return stream.example(0, 0, 0)[0], stream.batch(np.arange(1))[0].reshape(9, 3, -1)


def edge_jump(tiles):
    """Mean difference of the pixels on both sides of the border between two neighbours."""
    left, right = tiles[:, :, -1].astype(float), tiles[:, :, 0].astype(float)
    pairs = [(i, i + 1) for i in range(9) if i % 3 < 2]
    return np.mean([np.abs(left[a] - right[b]).mean() for a, b in pairs])


def test_without_a_gap_lines_run_on_from_tile_to_tile():
    ramp = (np.add.outer(np.arange(120), np.arange(160)) // 2).astype(np.uint8)
    smooth = photo_archive.Photos(("ramp",), (0,), (np.repeat(ramp[..., None], 3, axis=2),))
    open_, closed = (edge_jump(puzzle(smooth, name)[0]) for name in ("no gap", "all precautions"))
    assert open_ < 2 and closed > 3 * open_


def test_without_a_gap_a_pixel_shows_as_much_of_the_photograph():
    gap, none = cheating.KINDS["all precautions"], cheating.KINDS["no gap"]
    np.testing.assert_allclose(np.divide(none.variation.scale, none.cell), np.divide(gap.variation.scale, gap.cell))
    assert none.cell == experiments.TILE < gap.cell


def test_without_normalisation_tiles_keep_their_brightness(pictures):
    means = {name: puzzle(pictures, name)[1].mean(axis=-1) for name in cheating.KINDS}
    assert np.abs(means["no normalisation of each tile"]).max() > 0.05
    assert all(np.abs(m).max() < 1e-3 for name, m in means.items() if "normalisation" not in name)


def test_without_grey_and_shift_all_puzzles_have_the_photographs_colours(pictures):
    kind = cheating.KINDS["no grey, no colour shift"]
    assert kind.variation.grey == 0 == kind.variation.shift and cheating.CAREFUL.grey > 0 < cheating.CAREFUL.shift


def test_the_command_records_a_table(photos, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("JIGSAW_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path))
    monkeypatch.setattr(cheating, "EPOCH_PUZZLES", 16)
    monkeypatch.setattr(cheating, "EXAM_PUZZLES", 8)
    short = dataclasses.replace(recipes.PUZZLES_CHEATING, max_epochs=1, batch_size=8)
    monkeypatch.setattr(recipes, "PUZZLES_CHEATING", short)
    cheating.main(["--photos", str(photos), "--only", "no gap"])
    assert not (tmp_path / "cheating.csv").exists()
    cheating.main(["--photos", str(photos)])
    table, told = cheating.recorded()
    assert list(table.index) == list(table.columns) == list(cheating.KINDS)
    assert told["puzzles_each"] == 16 and told["command"] == f"python -m helpers.pretext.cheating --photos {photos}"
    assert records.names() == []


def test_what_is_recorded_shows_the_cheats():
    table, told = cheating.recorded()
    assert list(table.index) == list(table.columns) == list(cheating.KINDS)
    careful, bright = "all precautions", "no normalisation of each tile"
    assert table.loc[careful, careful] > 2 / told["permutations"]
    assert table.loc[bright, bright] - 0.1 > table.loc[careful, careful] > table.loc[bright, careful] + 0.1
