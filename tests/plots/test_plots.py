"""What a reader relies on in each figure: its data, solid and dashed lines, labels, colours, readable sizes."""

import io
import subprocess
import sys

import caffe
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from caffe.proto import caffe_pb2
from conftest import ROOT
from google.protobuf import text_format
from hypothesis import given, settings, strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib import colors, text
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

from helpers import jigsaw, nets, plots
from helpers.data.datasets import ImageSet
from helpers.plots import pages, style
from helpers.plots.architecture import siamese_branches

# Okabe & Ito, "Color Universal Design", and black
OKABE_ITO = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442"}
random = np.random.default_rng(0)


def table(epochs=12, level=1.0):
    epoch = np.arange(1, epochs + 1)
    fall = np.exp(-epoch / 5) * level
    return pd.DataFrame(
        {
            "epoch": epoch,
            "iteration": epoch * 10,
            "training_loss": 1 + fall,
            "training_accuracy": 0.6 - 0.5 * fall,
            "validation_loss": 1.5 + fall,
            "validation_accuracy": 0.5 - 0.4 * fall,
            "learning_rate": 0.01,
            "seconds": 2.0,
        }
    )


def image_set():
    labels = np.array([0, 1, 1, 0, 2, 1])
    images = np.full((6, 8, 8, 3), 10, dtype=np.uint8) * np.arange(1, 7, dtype=np.uint8)[:, None, None, None]
    return ImageSet(images, labels, ("apple", "banana", "cherry"))


def nine_tiles(side=12):
    return np.full((9, side, side, 3), 20, dtype=np.uint8) * np.arange(1, 10, dtype=np.uint8)[:, None, None, None]


def curves(figure):
    """{label: line} of the first axes."""
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def words(figure):
    return [found.get_text() for found in figure.findobj(text.Text) if found.get_text()]


def shown(figure):
    """The images on a page, in the order they were drawn."""
    return [np.asarray(image.get_array()) for image in figure.findobj(BboxImage)]


def frames(figure):
    """(left, top, width) in inches of each outline on a page."""
    height = figure.get_figheight()
    frames = [patch for patch in figure.findobj(Rectangle) if patch in figure.artists and not patch.get_fill()]
    return [(patch.get_x(), height - patch.get_y() - patch.get_height(), patch.get_width()) for patch in frames]


def drawn_colours(line):
    """Of the line where it has one, of its markers where it has those (error bars have only caps)."""
    if line.get_linestyle() != "None":
        yield colors.to_hex(line.get_color())
    if line.get_marker() != "None":
        yield colors.to_hex(line.get_markeredgecolor())


CELLS = jigsaw.cell_corners((60, 70), 20, rng=0)
BRANCH = nets.branch(10, batch_size=1)
KINDS = {"animals": ["ant", "cat"], "vehicles": ["bus"]}
EVERY_FIGURE = {
    "turntable": lambda: plots.turntable(
        {"by angle": {"training": [0, 90], "test": [180]}, "at random": {"training": [45]}}
    ),
    "per_epoch": lambda: plots.per_epoch(pd.DataFrame({"epoch": [1, 2], "relu1": [0.5, 0.4]}), "active units (%)"),
    "against": lambda: plots.against(
        {"jigsaw": pd.DataFrame({"accuracy": [0.1, 0.3], "half_width": [0.01, np.nan]}, [1, 25])}, "labels", chance=0.01
    ),
    "image_grid": lambda: plots.image_grid(image_set().images, list("abcdef"), columns=4, title="crops"),
    "class_examples": lambda: plots.class_examples(image_set(), per_class=2),
    "tiles": lambda: plots.tiles(nine_tiles(), range(9, 0, -1)),
    "puzzle": lambda: plots.puzzle(np.zeros((60, 70, 3), np.uint8), nine_tiles(), nine_tiles()[::-1], range(9, 0, -1)),
    "grid_on_photo": lambda: plots.grid_on_photo(
        np.zeros((60, 70, 3), np.uint8), CELLS, 20, jigsaw.tile_corners(CELLS, 20, 16, rng=0), 16
    ),
    "hamming_histogram": lambda: plots.hamming_histogram([7, 8, 8, 9]),
    "losses": lambda: plots.losses(table(), best_epoch=11, reported=15),
    "losses of two": lambda: plots.losses({"a": table(), "b": table(9, 2)}, best_epoch={"a": 3, "b": 9}),
    "accuracy": lambda: plots.accuracy(table(), reported=0.377, chance=0.1),
    "puzzle_accuracy": lambda: plots.puzzle_accuracy(table(), chance=0.01),
    "learning_rates": lambda: plots.learning_rates({"exp": (np.arange(50), 0.01 * 0.9 ** np.arange(50))}, 10),
    "filters": lambda: plots.filters(random.normal(size=(10, 3, 5, 5)), "conv1"),
    "filters_beside": lambda: plots.filters_beside({"one": np.ones((10, 3, 5, 5)), "two": np.ones((8, 3, 7, 7))}),
    "filter_change": lambda: plots.filter_change(np.ones((8, 3, 5, 5)), np.full((8, 3, 5, 5), 1.01)),
    "activations": lambda: plots.activations(random.normal(size=(20, 6, 6)), title="conv5_s1"),
    "architecture": lambda: plots.architecture(BRANCH, nets.blob_shapes(BRANCH)),
    "confusion": lambda: plots.confusion([[8, 2], [1, 9]], ["cat", "dog"]),
    "confusion of groups": lambda: plots.confusion(np.eye(3), ["ant", "bus", "cat"], groups=KINDS),
    "per_class": lambda: plots.per_class([0.2, 0.9], ["cat", "dog"]),
    "bars": lambda: plots.bars(["a", "b"], [0.3, 0.5], errors=[0.1, 0.1], chance=0.1, reported=[0.4, None]),
    "bars of pairs": lambda: plots.bars(["a", "b"], {"own": [0.6, 0.4], "other": [0.3, 0.4]}, chance=0.1),
    "histogram": lambda: plots.histogram({"report": random.normal(size=99), "CFN": random.normal(size=99) * 50}),
}
PICTURES = {
    "activations",
    "architecture",
    "class_examples",
    "confusion",
    "filter_change",
    "filters",
    "filters_beside",
    "grid_on_photo",
    "image_grid",
    "per_class",
    "puzzle",
    "tiles",
    "turntable",
}  # nothing to measure, so no axes


def test_every_public_figure_is_listed_here():
    assert {name.split()[0] for name in EVERY_FIGURE} == set(plots.__all__) - {"png", "show"}


@pytest.mark.parametrize("name", EVERY_FIGURE)
def test_every_figure_is_readable(name):
    plt.get_backend()  # rcParams change when it is first asked for
    before = plt.rcParams.copy()
    figure = EVERY_FIGURE[name]()
    assert isinstance(figure, Figure)
    assert dict(plt.rcParams) == dict(before), "a figure changed the reader's own style"
    assert not plt.get_fignums(), "a figure stayed open in pyplot: the notebook would show it twice"
    width, height = Image.open(io.BytesIO(plots.png(figure))).size
    assert 80 * figure.get_figwidth() < width < 176 * figure.get_figwidth()  # white margins are cut off
    assert figure.get_figwidth() <= 11.5, "wider than a notebook's page"
    assert min(found.get_fontsize() for found in figure.findobj(text.Text) if found.get_text()) >= 10
    for axes in figure.axes:
        boxed = axes.name != "polar" and axes.axison and axes.get_label() != "<colorbar>"
        assert not boxed or not axes.spines["top"].get_visible()
    if name.split()[0] not in PICTURES:
        main = figure.axes[-1 if name == "histogram" else 0]
        assert main.get_xlabel()
        assert main.get_ylabel() or main.get_yticklabels() or figure.get_supylabel()
    if name != "architecture":  # its arrows are a dark grey
        drawn = {hue for axes in figure.axes for line in axes.get_lines() for hue in drawn_colours(line)}
        assert drawn <= OKABE_ITO | {"#ffffff"}


def test_plots_import_no_caffe():
    code = "import sys, helpers.plots; sys.exit('caffe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# --- Training


@pytest.mark.parametrize("draw, quantity, scale", [(plots.losses, "loss", 1), (plots.accuracy, "accuracy", 100)])
def test_training_is_solid_and_validation_dashed(draw, quantity, scale):
    history = table()
    lines = curves(draw(history))
    for part, dashes in (("training", "-"), ("validation", "--")):
        assert lines[part].get_linestyle() == dashes
        np.testing.assert_array_equal(lines[part].get_xdata(), history["epoch"])
        np.testing.assert_allclose(lines[part].get_ydata(), scale * history[f"{part}_{quantity}"])
    assert lines["training"].get_color() == lines["validation"].get_color()  # the style alone tells them apart


def test_several_runs_have_a_colour_each():
    lines = curves(plots.losses({"jigsaw": table(), "scratch": table(20, 2)}))
    assert [line.get_linestyle() for line in lines.values()] == ["-", "--"] * 2
    hues = [line.get_color() for line in lines.values()]
    assert hues[0] == hues[1] != hues[2] == hues[3] and hues[0] == style.BLUE
    assert len(lines["_scratch, validation"].get_xdata()) == 20


def test_the_best_epoch_is_marked_on_the_validation_curve():
    history = table()
    mark = curves(plots.losses(history, best_epoch=7))["best epoch: 7"]
    assert mark.get_xdata() == [7]
    assert mark.get_ydata() == [history["validation_loss"][6]]
    two = curves(plots.losses({"jigsaw": table(), "random": table()}, best_epoch={"jigsaw": 4, "random": 5}))
    for name, epoch in (("jigsaw", 4), ("random", 5)):
        assert two[f"{name}, best epoch: {epoch}"].get_color() == two[name].get_color()
    marks = curves(plots.losses({"a": table(), "b": table()}, best_epoch={"b": 4}))
    assert [label for label in marks if "best" in label] == ["b, best epoch: 4"]


def test_the_loss_before_training_stands_at_epoch_0_of_the_validation_curve():
    one, several = plots.losses(table(), before=2.5), plots.losses({"a": table(), "b": table()}, before={"b": 2.5})
    for figure, label in ((one, "validation"), (several, "_b, validation")):
        line = curves(figure)[label]
        assert (line.get_xdata()[0], line.get_ydata()[0]) == (0, 2.5)
        assert line.get_xdata()[1] == 1 and len(line.get_xdata()) == len(table()) + 1
    assert curves(several)["_a, validation"].get_xdata()[0] == 1


def test_losses_on_a_log_scale_say_so():
    (axes,) = plots.losses(table(level=50), log=True).axes
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "mean cross-entropy loss (log scale)"
    (axes,) = plots.losses(table(level=50)).axes
    assert axes.get_yscale() == "linear" and axes.get_ylabel() == "mean cross-entropy loss"


def test_reported_and_chance_levels_are_drawn_with_their_numbers():
    lines = curves(plots.accuracy(table(), reported=0.3766, chance=0.01))
    assert lines["reported test accuracy (37.7 %)"].get_ydata()[0] == pytest.approx(37.66)
    assert lines["chance (1 %)"].get_ydata()[0] == 1
    assert curves(plots.losses(table(), reported=64))["the report's run ended (epoch 64)"].get_xdata()[0] == 64


def test_a_run_of_one_epoch_can_be_seen():
    assert all(line.get_marker() == "o" for line in curves(plots.losses(table(1))).values())


@pytest.mark.parametrize(
    "history, lack", [(table().drop(columns="validation_loss"), "validation_loss"), (table(3)[:0], "no epoch yet")]
)
def test_an_incomplete_history_is_refused(history, lack):
    with pytest.raises(ValueError, match=f"{lack}.*history.csv"):
        plots.losses({"mine": history})


def test_learning_rates_are_on_a_log_scale_with_epochs_above():
    iterations, rates = np.arange(100), 0.01 * 0.9995 ** np.arange(100)
    figure = plots.learning_rates({"exp": (iterations, rates)}, iterations_per_epoch=20)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    np.testing.assert_array_equal(curves(figure)["exp"].get_ydata(), rates)
    above = axes.child_axes[0]
    figure.draw_without_rendering()
    assert above.get_xlabel() == "epoch"
    np.testing.assert_allclose(np.array(above.get_xlim()) * 20, axes.get_xlim())


# --- Images and puzzles


def test_images_are_shown_unchanged_with_their_titles():
    images = random.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    figure = plots.image_grid(images, list("abcde"), columns=3)
    np.testing.assert_array_equal(shown(figure), images)
    assert words(figure) == list("abcde")
    lefts, tops, widths = zip(*frames(figure))
    assert lefts[:3] == (0, *lefts[1:3]) and lefts[3:] == lefts[:2] and len(set(widths)) == 1
    assert tops[0] == tops[2] < tops[3] == tops[4]
    with pytest.raises(ValueError, match="5 images have 2 titles"):
        plots.image_grid(images, ["a", "b"])


def test_float_images_are_stretched_by_one_scale():
    """Two images that differ in brightness still do so when shown; the range goes from black to white."""
    dark, light = np.linspace(-2, 0, 300).reshape(10, 10, 3), np.linspace(0, 2, 300).reshape(10, 10, 3)
    dark, light = shown(plots.image_grid([dark, light]))
    assert dark.max() <= light.min() + 1
    assert dark.min() == 0 and light.max() == 255


def test_class_examples_show_each_class_in_its_row():
    figure = plots.class_examples(image_set(), per_class=2)
    (rows,) = shown(figure)
    assert words(figure) == ["apple", "banana", "cherry"]
    centres = rows[4::9, 4::9, 0]  # images of 8 pixels with a gap of 1
    assert centres.tolist() == [[10, 40], [20, 30], [50, 255]]  # white where a class has no second image


def test_tiles_carry_the_number_of_their_cell():
    permutation = [3, 1, 2, 9, 8, 7, 4, 6, 5]
    figure = plots.tiles(nine_tiles(), permutation)
    assert [int(word) for word in words(figure)] == permutation
    assert [int(word) for word in words(plots.tiles(nine_tiles()))] == list(range(1, 10))
    with pytest.raises(ValueError, match="9 tiles"):
        plots.tiles(nine_tiles()[:4])


def test_puzzle_has_photograph_tiles_and_puzzle():
    photo, permutation = random.integers(0, 256, (60, 70, 3), dtype=np.uint8), [9, 8, 7, 6, 5, 4, 3, 2, 1]
    figure = plots.puzzle(photo, nine_tiles(), nine_tiles()[::-1], permutation)
    assert [word for word in words(figure) if not word.isdigit()] == ["photograph", "nine tiles", "the puzzle"]
    first, tiles, shuffled = shown(figure)
    np.testing.assert_array_equal(first, photo)
    assert tiles[5, 5, 0] == 20 and shuffled[5, 5, 0] == 180


def test_grid_on_photo_outlines_cells_and_tiles_pixel_by_pixel():
    corners = jigsaw.tile_corners(CELLS, 20, 16, rng=0)
    figure = plots.grid_on_photo(np.zeros((60, 70, 3), np.uint8), CELLS, 20, corners, 16)
    scale = 70 / figure.get_figwidth()  # pixels of the photograph per inch
    places = [[(top - pages.TITLE) * scale, left * scale, side * scale] for left, top, side in frames(figure)]
    expected = [(*corner, 20) for corner in CELLS.tolist()] + [(*corner, 16) for corner in corners.tolist()]
    np.testing.assert_allclose(places, expected, atol=1e-9)


def test_hamming_histogram_counts_pairs():
    figure = plots.hamming_histogram(np.array([7, 8, 8, 9, 9, 9]))
    bars = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in figure.axes[0].patches}
    assert bars == {7: 1, 8: 2, 9: 3}
    assert "mean 8.33" in words(figure)


# --- Weights, blobs, nets


def tile_of(figure, index, columns, side, which=0):
    row, column = divmod(index, columns)
    top, left = row * (side + 1), column * (side + 1)
    return shown(figure)[which][top : top + side, left : left + side]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 30), columns=st.integers(1, 12))
def test_each_filter_fills_its_own_range(seed, count, columns):
    weights = np.random.default_rng(seed).normal(size=(count, 3, 5, 5))
    figure = plots.filters(weights, columns=columns)
    for index, values in enumerate(weights):
        expected = (values - values.min()) / (values.max() - values.min())
        found = tile_of(figure, index, columns, 5)
        np.testing.assert_array_equal(found, np.rint(255 * expected.transpose(1, 2, 0)))


def test_filters_that_a_text_names_are_framed_with_their_number():
    figure = plots.filters(random.normal(size=(30, 3, 5, 5)), columns=10, width=5, numbered=[3, 24])
    scale = (5 - 2 * pages.EDGE) / 59  # inches per weight
    places = [[(left - pages.EDGE) / scale + 0.5, (top - pages.EDGE) / scale + 0.5] for left, top, _ in frames(figure)]
    np.testing.assert_allclose(places, [[18, 0], [24, 12]], atol=1e-9)
    assert words(figure) == ["3", "24"]


def test_shared_scaling_puts_zero_at_mid_grey_and_keeps_proportions():
    weights = np.zeros((3, 3, 5, 5))
    weights[1], weights[2] = 1, -0.5
    figure = plots.filters(weights, scaling="shared", columns=3)
    assert [tile_of(figure, i, 3, 5).mean() for i in range(3)] == [128, 255, 64]


def test_bgr_weights_are_shown_in_their_true_colours():
    weights = np.zeros((1, 3, 5, 5))
    weights[0, 0] = 1  # the blue channel of a network trained on BGR
    assert tile_of(plots.filters(weights, order="BGR", columns=1), 0, 1, 5)[0, 0].tolist() == [0, 0, 255]
    assert tile_of(plots.filters(weights, columns=1), 0, 1, 5)[0, 0].tolist() == [255, 0, 0]


def test_constant_and_grey_filters_are_drawn():
    assert tile_of(plots.filters(np.ones((2, 1, 3, 3))), 1, 12, 3).shape == (3, 3, 3)
    assert (tile_of(plots.filters(np.zeros((1, 3, 3, 3)), scaling="shared", columns=1), 0, 1, 3) == 128).all()


@pytest.mark.parametrize(
    "arguments, way_out",
    [
        ({"weights": np.ones((4, 48, 5, 5))}, "weights\\[:, c:c \\+ 1\\]"),
        ({"weights": np.ones((3, 5, 5))}, "N, 3, k, k"),
        ({"weights": np.ones((4, 3, 5, 5)), "scaling": "global"}, "'shared'"),
        ({"weights": np.ones((4, 3, 5, 5)), "order": "rgb"}, "'BGR'"),
    ],
)
def test_what_cannot_be_shown_as_filters_is_refused(arguments, way_out):
    with pytest.raises(ValueError, match=way_out):
        plots.filters(**arguments)


def test_networks_side_by_side_may_differ_in_kernel_size():
    figure = plots.filters_beside({"CFN": np.ones((8, 3, 11, 11)), "other": np.ones((8, 3, 7, 7))})
    assert words(figure) == ["CFN", "other"] and len(shown(figure)) == 2


def test_filter_change_shows_the_difference_and_its_size():
    before = random.normal(size=(16, 3, 5, 5))
    figure = plots.filter_change(before, before * 1.02)
    assert words(figure)[2] == "change, enlarged 50 times\n(2.00% of the norm before)"
    start, _, change = (image.astype(int) for image in shown(figure))
    assert np.abs(start - change).max() <= 1
    assert "0.00%" in words(plots.filter_change(before, before))[2]
    with pytest.raises(ValueError, match="same layer"):
        plots.filter_change(before, before[:3])


def test_activations_keep_their_values_or_take_their_own_range():
    blob = random.normal(size=(5, 4, 4))
    together = plots.activations(blob, columns=3)
    np.testing.assert_array_equal(tile_of(together, 4, 3, 4), pages.coloured(blob[4], blob.min(), blob.max()))
    assert {f"{blob.min():.3g}", f"{blob.max():.3g}", "activation"} <= set(words(together))
    own = tile_of(plots.activations(blob, columns=3, scaling="channel"), 4, 3, 4)
    np.testing.assert_array_equal(own, pages.coloured(blob[4], blob[4].min(), blob[4].max()))
    with pytest.raises(ValueError, match=r"data\[i\]"):
        plots.activations(np.zeros((2, 5, 4, 4)))


@pytest.fixture(scope="module")
def cfn():
    return nets.cfn(100, batch_size=1)


def test_the_cfn_has_nine_siamese_branches_that_meet_in_concat(cfn):
    branches = siamese_branches(cfn)
    for layer in cfn.layer:
        suffix = layer.name.rpartition("_s")[2]
        branched = layer.type != "Slice" and suffix.isdigit()
        assert branches[layer.name] == (int(suffix) - 1 if branched else None), layer.name


def test_figure_1_draws_one_branch_and_says_that_there_are_nine(cfn):
    figure = plots.architecture(cfn, nets.blob_shapes(cfn), nets.parameter_counts(cfn))
    said = words(figure)
    drawn = [layer.name for layer in cfn.layer if not layer.name.endswith(tuple(f"_s{i}" for i in range(2, 10)))]
    assert all(any(word.startswith(name) for word in said) for name in drawn)
    assert not any("_s2" in word or "_s9" in word for word in said)
    assert "9 siamese branches, one set of weights" in said
    # shapes and parameters of REFERENCE: Noroozi & Favaro's prototxt, fc8 with 100 outputs
    assert {"→ 96×27×27", "→ 96×13×13", "→ 256×13×13", "256 × 3 × 3", "1024", "9216", "4096", "37,752,832"} <= set(said)
    assert {"11×11, stride 2", "5×5, pad 2", "in 2 groups", "max 3×3, str. 2", "drop6_s1: 0.5"} <= set(said)


@pytest.mark.parametrize("columns", [8, 3])
def test_boxes_hold_their_text_and_stay_in_the_figure(cfn, columns):
    figure = plots.architecture(cfn, nets.blob_shapes(cfn), nets.parameter_counts(cfn), columns)
    assert figure.get_figwidth() < (11.5 if columns == 8 else 5)
    figure.draw_without_rendering()
    renderer, page = FigureCanvasAgg(figure).get_renderer(), figure.bbox
    boxes = [patch.get_window_extent(renderer) for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    boxes = [box for box in boxes if box.width < 128]  # without the stack of cards behind the branches
    for found in (*figure.axes[0].texts, *figure.legends):
        extent = found.get_window_extent(renderer)
        assert page.x0 <= extent.x0 and extent.x1 <= page.x1 and page.y0 <= extent.y0 and extent.y1 <= page.y1
        around = [
            box
            for box in boxes
            if box.y0 <= extent.y0 + 2 and extent.y1 - 2 <= box.y1 and box.x0 < (extent.x0 + extent.x1) / 2 < box.x1
        ]
        assert all(box.x0 <= extent.x0 and extent.x1 <= box.x1 for box in around), found


def hatched(figure):
    return sum(patch.get_hatch() is not None for patch in figure.axes[0].patches)


def test_frozen_layers_are_hatched():
    def draw(net):
        return plots.architecture(net, nets.blob_shapes(net))

    frozen = draw(nets.branch(10, trains="fc6", batch_size=1))
    assert hatched(frozen) == 5  # conv1-conv5
    assert "frozen (lr_mult 0)" in words(frozen)
    assert hatched(draw(nets.branch(10, trains="all", batch_size=1))) == 0


def test_batch_norm_does_not_count_as_frozen():
    net = nets.stacked_cfn(10, batch_size=1, batch_norm=True)
    figure = plots.architecture(net, nets.blob_shapes(net))
    assert hatched(figure) == 0
    assert "bn1_s1" in words(figure) and "siamese" not in " ".join(words(figure))


def test_a_blob_without_a_shape_is_named():
    net = nets.branch(10, batch_size=1)
    shapes = nets.blob_shapes(net)
    del shapes["pool5_s1"]
    with pytest.raises(ValueError, match="'pool5_s1'.*blob_shapes"):
        plots.architecture(net, shapes)


# --- Results


PHASES = """name: "phases"
layer { name: "data" type: "Input" top: "data" top: "label" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" param { name: "w" } inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" include { phase: TRAIN } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "silent" type: "Silence" bottom: "label" }
layer { name: "never" type: "ReLU" bottom: "fc" top: "never" include { stage: "never" } }
"""  # noqa: E501


@pytest.mark.parametrize("phase, drawn, left", [("TEST", "accuracy", "loss"), ("TRAIN", "loss", "accuracy")])
def test_a_net_is_drawn_in_the_phase_of_its_shapes(phase, drawn, left):
    net = text_format.Parse(PHASES, caffe_pb2.NetParameter())
    one = nets.filter_net(net, getattr(caffe, phase))
    shapes = nets.blob_shapes(one)
    words = [each.get_text() for each in plots.architecture(net, shapes).findobj(text.Text)]
    assert drawn in words and left not in words and "never" not in words
    assert "mean of the map" in words and "silent" in words
    with pytest.raises(ValueError, match="shapes lacks the blob"):
        plots.architecture(net, {name: shape for name, shape in shapes.items() if name != "fc"})


def test_siamese_layers_that_share_one_blob_are_drawn():
    net = text_format.Parse(PHASES, caffe_pb2.NetParameter())
    net.layer.add(name="fc2", type="InnerProduct", bottom=["pool"], top=["fc2"]).inner_product_param.num_output = 3
    net.layer[-1].param.add(name="w")
    words = [each.get_text() for each in plots.architecture(net, nets.blob_shapes(net)).findobj(text.Text)]
    assert "shared by param name: w" in words


def test_confusion_shows_counts_and_shares_of_the_true_class():
    figure = plots.confusion([[8, 2], [0, 0]], ["cat", "dog"])
    expected = pages.coloured(np.array([[0.8, 0.2], [0, 0]]), 0, 1, "Blues")
    np.testing.assert_array_equal(shown(figure)[0], expected)
    assert {"predicted class", "true class", "cat", "dog", "8", "2", "0"} <= set(words(figure))
    assert {"0", "50", "100", "share of the true class (%)"} <= set(words(figure))
    with pytest.raises(ValueError, match="one row and one column"):
        plots.confusion(np.eye(3), ["cat", "dog"])


def test_a_hundred_classes_have_no_names_on_top_of_each_other():
    figure = plots.confusion(np.eye(100, dtype=int), [f"class {i}" for i in range(100)])
    assert not any(word.startswith("class ") for word in words(figure))


def test_confusion_by_groups_puts_kin_side_by_side_in_a_frame():
    figure = plots.confusion([[6, 1, 3], [0, 9, 1], [4, 2, 4]], ["ant", "bus", "cat"], groups=KINDS)
    expected = np.array([[6, 3, 1], [4, 4, 2], [0, 1, 9]]) / 10
    np.testing.assert_array_equal(shown(figure)[0], pages.coloured(expected, 0, 0.3, "Blues"))
    assert {"30", "share of the true class (%, 30 and more)"} <= set(words(figure))
    assert {"animals", "vehicles"} <= set(words(figure)) and not {"ant", "bus", "cat"} & set(words(figure))
    (left, top, two), (beside, below, one) = frames(figure)
    np.testing.assert_allclose([beside - left, below - top, one], [two, two, two / 2])
    for wrong, name in (({"animals": ["ant", "cat"]}, "bus"), (KINDS | {"pets": ["cat"]}, "cat")):
        with pytest.raises(ValueError, match=f"'{name}'.*one group"):
            plots.confusion(np.eye(3), ["ant", "bus", "cat"], groups=wrong)


def named_bars(axes):
    """{label: length} from the bottom up."""
    return dict(zip([label.get_text() for label in axes.get_yticklabels()], [bar.get_width() for bar in axes.patches]))


def test_classes_are_sorted_by_accuracy():
    figure = plots.per_class([0.5, 0.9, 0.1], ["a", "b", "c"])
    assert words(figure)[1:] == ["b", "90%", "a", "50%", "c", "10%"]
    lengths = [patch.get_width() for patch in figure.findobj(Rectangle) if patch in figure.artists]
    np.testing.assert_allclose(np.array(lengths) / lengths[0], [1, 5 / 9, 1 / 9])
    with pytest.raises(ValueError, match="give one each"):
        plots.per_class([0.5], ["a", "b"])


def test_of_many_classes_the_best_and_the_worst_are_shown():
    said = words(plots.per_class(np.arange(100) / 100, [f"class {i}" for i in range(100)], most=3))
    assert [word for word in said if word.startswith("class")] == [f"class {i}" for i in (99, 98, 97, 2, 1, 0)]
    assert said[0] == "accuracy by class: the 3 best and the 3 worst of 100"


def test_bars_start_at_the_top_and_say_their_numbers():
    figure = plots.bars(["first", "second"], [0.25, 0.5], errors=[0.01, 0.02], chance=0.1, reported=[0.3, None])
    assert named_bars(figure.axes[0]) == {"second": 50, "first": 25}
    assert {"25.0 %", "50.0 %", "chance (10 %)", "reported"} <= set(words(figure))
    reported = curves(figure)["reported"]
    shown = dict(zip(reported.get_ydata(), reported.get_xdata()))
    assert shown[1] == pytest.approx(30) and np.isnan(shown[0])


def test_a_bar_without_an_interval_has_no_whisker_and_still_its_number():
    figure = plots.bars(["one seed", "three"], [0.5, 0.25], errors=[np.nan, 0.01])
    drawn = [line.get_segments() for line in figure.findobj(LineCollection)]
    assert [len(segment) for segments in drawn for segment in segments] == [2, 0]  # points, from the bottom up
    assert {"50.0 %", "25.0 %"} <= set(words(figure))


def test_accuracies_above_90_percent_are_dots_on_a_scale_from_there():
    (axes,) = plots.bars(["a", "b"], [0.972, 0.99], errors=[np.nan, 0.004], reported=[0.91, 0.969]).axes
    dots, low = axes.collections[0].get_offsets(), axes.get_xlim()[0]
    np.testing.assert_allclose(dots, [[97.2, 1], [99, 0]])
    assert low == 90 and not axes.patches
    assert plots.bars(["a", "b"], [0.972, 0.899]).axes[0].get_xlim()[0] == 0


def test_bars_of_counts_are_not_percentages():
    figure = plots.bars(["training", "test"], [67_692, 15], axis="images", percent=False)
    assert {"67,692", "15", "images"} <= set(words(figure))
    assert not any("%" in word for word in words(figure))


def test_millions_are_the_unit_of_counts_that_reach_one():
    counts, reported = [60_965_224, 2_564_580, 34_944], [61e6, None, None]
    figure = plots.bars(["AlexNet", "branch", "conv1"], counts, axis="parameters", percent=False, reported=reported)
    assert {"61.0", "2.6", "0.03", "parameters (million)"} <= set(words(figure))
    np.testing.assert_allclose(list(named_bars(figure.axes[0]).values()), [0.034944, 2.56458, 60.965224])
    assert curves(figure)["reported"].get_xdata()[0] == 61


def test_pairs_are_two_dots_and_a_line_between():
    figure = plots.bars(["with", "without"], {"own puzzles": [0.5, 0.6], "careful puzzles": [0.5, 0.25]}, chance=0.1)
    (axes,) = figure.axes
    joined, own, careful = axes.collections
    assert [segment[:, 0].tolist() for segment in joined.get_segments()] == [[50, 50], [60, 25]]
    np.testing.assert_allclose(own.get_offsets(), [[50, 1], [60, 0]])
    np.testing.assert_allclose(careful.get_offsets(), [[50, 1], [25, 0]])
    assert colors.to_hex(careful.get_facecolor()[0]) == "#ffffff" != colors.to_hex(own.get_facecolor()[0])
    assert {"own puzzles", "careful puzzles", "50.0 %", "60.0 → 25.0 %"} <= set(words(figure))
    assert not axes.patches


def test_bars_need_one_of_everything_per_label():
    for wrong in (
        {"values": [1]},
        {"values": {"own": [1, 2], "other": [1]}},
        {"values": [1, 2], "errors": [1]},
        {"values": [1, 2], "reported": [1]},
    ):
        with pytest.raises(ValueError, match="give one each"):
            plots.bars(["a", "b"], **wrong)


def test_histograms_share_their_axis_and_tell_mean_and_deviation():
    figure = plots.histogram({"narrow": np.array([[-1.0, 1.0]]), "wide": np.array([-100.0, 100.0])}, "value")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "narrow: mean 0.00, standard deviation 1.00",
        "wide: mean 0.00, standard deviation 100.00",
    ]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    panels = plots.histogram({"first": [1, 2], "other": [1, 3]}, splits={"first": "validation", "other": "test"}).axes
    drawn = [colors.to_hex(axes.patches[0].get_facecolor()).upper() for axes in panels]
    assert drawn == [style.SPLITS["validation"], style.SPLITS["test"]]


# --- Into the notebook


def test_show_leaves_a_picture_with_its_alt_text():
    InteractiveShell.instance()
    figure = plots.hamming_histogram([8, 9])
    with capture_output() as captured:
        plots.show(figure, 'Bars at 8 & 9, "two" <pairs>')
    (output,) = captured.outputs
    image = BeautifulSoup(output.data["text/html"], "html.parser").img
    assert image["alt"] == output.data["text/plain"] == 'Bars at 8 & 9, "two" <pairs>'
    assert image["src"].startswith("data:image/png;base64,")


def test_a_narrow_window_is_shown_the_narrow_figure():
    InteractiveShell.instance()
    with capture_output() as captured:
        plots.show(plots.hamming_histogram([8, 9]), "distances", narrow=plots.filters(np.ones((8, 3, 5, 5)), width=3))
    picture = BeautifulSoup(captured.outputs[0].data["text/html"], "html.parser").picture
    assert picture.source["srcset"].startswith("data:image/png;base64,")
    assert picture.source["media"] == "(max-width: 600px)" and int(picture.source["width"]) < 320
    assert int(picture.img["width"]) > 700 and picture.img["alt"] == "distances"


def test_show_closes_a_pyplot_figure_so_that_it_is_shown_once():
    InteractiveShell.instance()
    figure, _ = plt.subplots()
    with capture_output():
        plots.show(figure, "an empty figure")
    assert not plt.fignum_exists(figure.number)


def test_show_insists_on_a_text():
    with pytest.raises(ValueError, match="alt is empty"):
        plots.show(plots.hamming_histogram([8, 9]), "  ")


def test_shares_per_epoch_are_told_apart_without_colour():
    shares = pd.DataFrame({"epoch": [1, 2, 3], "conv1": [0.5, 0.4, 0.3], "conv2": [0.1, 0.2, 0.3]})
    figure = plots.per_epoch(shares, "active units (%)")
    lines = curves(figure)
    np.testing.assert_allclose(lines["conv1"].get_ydata(), [50, 40, 30])
    assert list(lines["conv2"].get_xdata()) == [1, 2, 3]
    assert len({line.get_marker() for line in lines.values()}) == 2
    assert figure.axes[0].get_ylim()[0] == 0 and figure.axes[0].get_ylabel() == "active units (%)"


def test_shares_near_100_percent_can_be_zoomed_and_the_axis_says_so():
    shares = pd.DataFrame({"epoch": [0, 1, 2], "jigsaw": [1, 0.985, 0.971], "random": [1, 0.99, 0.977]})
    (axes,) = plots.per_epoch(shares, "correlation (%)", zoom=True).axes
    assert axes.get_ylim()[0] == 96 and axes.get_ylabel() == "correlation (%)\n(the axis begins at 96)"
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [100, 98.5, 97.1])


def test_a_turntable_marks_each_view_at_its_angle_in_its_split():
    figure = plots.turntable({"by angle": {"training": [0, 90], "test": [180]}, "at random": {"training": [45]}})
    lines = curves(figure)
    np.testing.assert_allclose(lines["training"].get_xdata(), [0, np.pi / 2])
    np.testing.assert_allclose(lines["test"].get_xdata(), [np.pi])
    assert lines["training"].get_marker() != lines["test"].get_marker()
    assert (lines["training"].get_color(), lines["test"].get_color()) == (
        style.SPLITS["training"],
        style.SPLITS["test"],
    )
    assert [axes.get_title(loc="center") for axes in figure.axes] == ["by angle", "at random"]


def test_numbers_that_were_varied_stand_on_a_log_axis():
    index = [1, 25, 425]
    curves = {
        "jigsaw": pd.DataFrame({"accuracy": [0.07, 0.26, 0.44], "half_width": [0.01, 0.02, np.nan]}, index),
        "random": pd.DataFrame({"accuracy": [0.05, 0.16, 0.31], "half_width": [np.nan] * 3}, index),
    }
    (axes,) = plots.against(
        curves, "labels per class", chance=0.01, starts={"jigsaw": "puzzles", "random": "random"}
    ).axes
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "25", "425"]
    jigsaw, random = (container.lines[0] for container in axes.containers)
    np.testing.assert_allclose(jigsaw.get_ydata().astype(float), [7, 26, 44])
    np.testing.assert_allclose(random.get_ydata().astype(float), [5, 16, 31])
    (bars,) = axes.containers[0].lines[2]
    heights = [segment[1][1] - segment[0][1] for segment in bars.get_segments()]
    np.testing.assert_allclose(heights, [2, 4, 0])
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()][-2:] == ["jigsaw", "random"]
    assert (jigsaw.get_color(), random.get_color()) == (style.BLUE, style.ORANGE)


def test_words_that_were_varied_keep_their_order():
    curve = pd.DataFrame(
        {"accuracy": [0.2, 0.48, 0.44], "half_width": [0.01, np.nan, 0.02]}, ["conv1", "conv3", "pool5"]
    )
    (axes,) = plots.against({"jigsaw": curve}, "layer", chance=0.01).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "conv3", "pool5"]
    np.testing.assert_allclose(axes.containers[0].lines[0].get_ydata().astype(float), [20, 48, 44])


def test_a_start_has_its_colour_in_every_figure():
    starts = {"a": "random", "b": "puzzles", "c": "labels", "d": "rotations", "not drawn": "random"}
    expected = {"a": style.ORANGE, "b": style.BLUE, "c": style.GREEN, "d": style.PURPLE}
    drawn = style.hues([*expected, "neither"], starts)
    assert drawn.pop("neither") not in style.STARTS.values() and drawn == expected
    history = {label: table() for label in expected}
    accuracies = {label: pd.DataFrame({"accuracy": [0.1], "half_width": [np.nan]}, [1]) for label in expected}
    for figure in (
        plots.losses(history, starts=starts),
        plots.accuracy(history, starts=starts),
        plots.per_epoch(pd.DataFrame({"epoch": [1], **dict.fromkeys(expected, 0.1)}), "share (%)", starts=starts),
        plots.against(accuracies, "labels per class", starts=starts),
    ):
        handles, labels = figure.axes[0].get_legend_handles_labels()
        seen = {label: getattr(handle, "lines", [handle])[0].get_color() for handle, label in zip(handles, labels)}
        assert expected.items() <= seen.items()
    bars = plots.bars([*expected, "neither"], [0.1, 0.2, 0.3, 0.4, 0.5], starts=starts).axes[0].patches
    hexadecimal = [colors.to_hex(bar.get_facecolor()).upper() for bar in bars]
    assert hexadecimal == [style.GREY, *reversed(expected.values())]
    assert curves(plots.losses(table(), starts="random"))["training"].get_color() == style.ORANGE


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["at random", "from scratch", "jigsaw", "labels", "split 90", "x"]), unique=True))
def test_no_label_says_a_colour(labels):
    """The same colours for the same places, whatever the words: a split "at random" has no random filters."""
    plain = [f"series {number}" for number in range(len(labels))]
    assert list(style.hues(labels).values()) == list(style.hues(plain).values())
    if labels:
        faces = [bar.get_facecolor() for bar in plots.bars(labels, [0.5] * len(labels)).axes[0].patches]
        assert {colors.to_hex(face).upper() for face in faces} == {style.GREY}


def test_two_series_of_one_start_are_told_apart_and_an_unknown_start_is_refused():
    first, second = style.hues(
        ["shipped", "little sister"], {"shipped": "puzzles", "little sister": "puzzles"}
    ).values()
    assert first == style.BLUE != second
    (hue, saturation, _), (lighter_hue, lighter_saturation, _) = (
        colors.rgb_to_hsv(colors.to_rgb(colour)) for colour in (first, second)
    )
    assert hue == pytest.approx(lighter_hue, abs=0.01) and lighter_saturation < saturation
    for draw in (lambda: style.hues(["a"], {"a": "jigsaw"}), lambda: plots.bars(["a"], [0.5], starts={"a": "jigsaw"})):
        with pytest.raises(ValueError, match="start of 'a' is given as 'jigsaw'; it is one of puzzles, random, labels"):
            draw()
