"""Explorers: every control through its range, what changes and what stays, errors that surface, the static twin."""

import base64
import gc
import io
import re
from xml.etree import ElementTree

import explorers as benchmark
import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from hypothesis import given, settings, strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient
from notebook_errors import errors
from PIL import Image
from scipy.ndimage import gaussian_filter

from helpers import early_stopping, explorers, nets, plots
from helpers.data.examples import Examples
from helpers.explorers import controls, filter_numbers, inspection
from helpers.plots.classes import cell_at, with_cell
from helpers.plots.pages import PAGE, TITLE, unit_in_grid
from helpers.plots.style import pixels

random = np.random.default_rng(0)


@pytest.fixture(scope="module")
def make():
    """{name: a function that makes the explorer}, as the benchmark has them."""
    return benchmark.all_explorers()


def pictures(explorer):
    return {name: view.value for name, view in explorer.views.items()}


def words(explorer):
    return re.sub("<.*?>", "", explorer.views["words"].value)


# --- All of them


# Controls that need another one before they show: {explorer: {control: what to set first}}
FIRST = {
    "activations": {"strongest": {"blob": "conv1_s1", "row": 26}},
    "filters": {"paired": {"beside": "other"}, "epoch": {"network": "other"}},
    "losses": {"smoothing": {"by": "iteration"}},
    "learning_rates": {"factor": {"policy": "step"}, "stepsize": {"policy": "step"}},
    "contest": {name: {"plain": True} for name in ("photo", "grey", "first", "second", "swap", "deal")},
}


EXPLORERS = ["filters", "losses", "activations", "mistakes", "learning_rates", "puzzles", "contest"]


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_control_changes_a_picture_over_its_range(name, make):
    explorer = make[name]()
    for control in explorer.controls:
        if not benchmark.values_of(explorer.controls[control], 4):
            continue  # an upload, see below
        start = {other: widget.value for other, widget in explorer.controls.items()}
        for other, value in FIRST.get(name, {}).get(control, {}).items():
            explorer.controls[other].value = value
        seen = [pictures(explorer)]
        for value in benchmark.values_of(explorer.controls[control], 4):
            explorer.controls[control].value = value
            seen.append(pictures(explorer))
        assert any(one != seen[0] for one in seen[1:]), f"{control} changes nothing"
        for panel, picture in seen[-1].items():
            page = BeautifulSoup(picture, "html.parser")
            assert panel == "words" or not (page.img or page.get_text()) or len(page.img["alt"]) > 20
        assert not explorer.trouble.outputs
        for other, value in start.items():
            if explorer.controls[other].value != value:
                explorer.controls[other].value = value


def test_activations_begin_with_the_channel_that_answers_most(make):
    explorer = make["activations"]()
    looks = explorer.panels["channels"].__closure__
    looks = next(cell.cell_contents for cell in looks if isinstance(cell.cell_contents, list))
    for blob in ("conv1_s1", "conv4_s1", "pool5_s1"):
        explorer.controls["blob"].value = blob
        values, (image, channel) = (
            looks[0].blobs[blob],
            (explorer.controls[name].value for name in ("image", "channel")),
        )
        assert image == 0 and values[channel].max() == values.max() > 0, blob
    explorer.controls["channel"].value = 3
    explorer.controls["image"].value = 1
    assert explorer.controls["channel"].value == 3, "the same channel of another image can be compared"


def test_only_the_panels_that_depend_on_a_control_are_drawn_again(make):
    explorer = make["puzzles"]()
    before = pictures(explorer)
    explorer.controls["grey"].value = True
    after = pictures(explorer)
    assert after["where"] == before["where"] and after["puzzle"] != before["puzzle"]


def test_an_exception_in_a_callback_is_raised_outside_a_notebook(monkeypatch):
    monkeypatch.setattr("ipywidgets.widgets.widget_output.get_ipython", lambda: None)  # another test may have made one
    slider = controls.slider("n", 0, 0, 3)
    explorer = controls.Explorer({"n": slider}, [lambda n: f"{6 / (n - 1)}"], "a share of six")
    with pytest.raises(ZeroDivisionError):
        slider.value = 1
    slider.value = 2  # the next move works again
    assert "6.0" in explorer.views["<lambda>"].value


def test_in_a_notebook_it_is_shown_and_found_in_the_widget_state_until_the_next_move(tmp_path):
    source = """
from helpers.explorers import controls
slider = controls.slider("n", 0, 0, 3)
controls.Explorer({"n": slider}, [lambda n: f"{6 / (n - 1)}"], "a share of six")
"""
    cells = [source, "slider.value = 1", "slider.value = 2"]
    found = []
    for count in (2, 3):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells[:count]])
        NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
        found.append(errors(notebook))
    assert len(found[0]) == 1 and found[0][0].endswith("ZeroDivisionError: division by zero")
    assert found[1] == []


def test_the_static_twin_shows_the_same_pictures_and_is_hidden_by_the_living_one(make):
    InteractiveShell.instance()
    explorer = make["learning_rates"]()
    with capture_output() as captured:
        explorer._ipython_display_()
    twin, view = captured.outputs
    shown = twin.data["text/html"], explorer.views["rates"].value
    page, live = (BeautifulSoup(html, "html.parser") for html in shown)
    assert page.img["alt"] == live.img["alt"]
    assert page.img["src"].startswith("data:image/webp;")  # viewers that sanitize may drop SVG
    assert words(explorer) in page.get_text()
    assert view.data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id
    style = explorer.children[-1].value
    assert re.search(r"\.([\w-]+) \{ display: none !important \}", style)[1] in page.div["class"]


def test_a_living_picture_has_words_as_text_and_images_as_they_are(make):
    """The 96 filters of 11 x 11 weights with a white line between, each weight one pixel, enlarged by the browser."""
    view = make["filters"]().views["grid"].value
    kind, _, content = BeautifulSoup(view, "html.parser").img["src"].partition(";base64,")
    assert kind == "data:image/svg+xml"
    page = ElementTree.fromstring(base64.b64decode(content))
    assert [text.text for text in page.iter("{http://www.w3.org/2000/svg}text")] == ["one: 96 filters of conv1_s1"]
    (image,) = page.iter("{http://www.w3.org/2000/svg}image")
    assert "pixelated" in image.get("style")
    source = image.get("{http://www.w3.org/1999/xlink}href").partition(",")[2]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))
    assert pixels.shape[:2] == (8 * 12 - 1, 12 * 12 - 1)
    assert (pixels[11::12] == 255).all() and (pixels[:, 11::12] == 255).all()


def test_the_garbage_collector_leaves_a_notebooks_objects_alone(make):
    """A full collection in the midst of a move looked at 200,000 objects, for as long as the picture took to draw."""
    make["learning_rates"]()
    assert gc.get_freeze_count() > 10 * len(gc.get_objects())


def test_a_click_reaches_its_own_explorer_only(make):
    explorer, other = make["filters"](), make["filters"]()
    clicks = controls.clicks()
    clicks.click = [explorer.name, 0.99, 0.5]
    assert explorer.controls["place"].value == 12 * 3 + 11  # 96 filters in eight rows of twelve: the fourth row's last
    assert other.controls["place"].value == 0
    assert explorer.clicks is other.clicks  # one for the whole notebook


# --- Pages: where things are


@pytest.mark.parametrize("shape", [(24, 11, 11), (96, 27, 27), (7, 3, 5), (1, 7, 7)])
def test_a_click_on_the_outline_selects_what_is_outlined(shape):
    """The outline's colour is looked for in the picture, and its middle clicked on."""
    channel = shape[0] * 2 // 3
    figure = plots.activations(np.zeros(shape), None, "channel", "title", channel, PAGE, scale=False)
    across, down = middle_of_the_outline(figure)
    assert unit_in_grid(across, down, shape) == (channel, shape[1] // 2, shape[2] // 2)
    assert unit_in_grid(1, 1, shape)[0] == shape[0] - 1 and unit_in_grid(0, 0, shape) == (0, 0, 0)


@pytest.mark.parametrize("count", [10, 30, 100])
def test_a_click_on_the_matrix_selects_the_cell_that_is_outlined(count):
    drawn = np.full((400, 430, 3), 255, np.uint8)
    figure = with_cell(drawn, (count // 4, count // 2), count)
    across, down = middle_of_the_outline(figure)
    assert cell_at(across, down, PAGE * 400 / 430, count) == (count // 4, count // 2)
    assert cell_at(0, 1, PAGE, count) == (count - 1, 0)


def middle_of_the_outline(figure):
    """Shares of the width and height of a page at which the middle of the vermillion outline lies."""
    drawn = pixels(figure).astype(int)
    rows, columns = np.nonzero(np.abs(drawn - (0xD5, 0x5E, 0x00)).sum(axis=2) < 30)
    return (
        (columns.min() + columns.max() + 1) / 2 / drawn.shape[1],
        (rows.min() + rows.max() + 1) / 2 / drawn.shape[0],
    )


# --- Losses and learning rates


def test_the_rule_is_played_again_with_another_patience(make):
    """The losses of notebook 03: patience 5 stops after epoch 9 and keeps 3, patience 1 stops after epoch 5."""
    losses = [2.0, 1.5, 1.4, 1.45, 1.42, 1.41, 1.40, 1.39995, 1.43, 1.44]
    rule, waited = early_stopping.replay(losses, 5, 1e-4)
    assert (rule.best_epoch, len(waited), waited[-1]) == (3, 9, 6)
    rule, waited = early_stopping.replay(losses, 1, 1e-4)
    assert (rule.best_epoch, len(waited), waited) == (3, 5, [0, 0, 0, 1, 2])
    assert early_stopping.replay(losses, 20, 0)[0].best_epoch == 8

    explorer = make["losses"]()
    history = benchmark.Training(2.0).history["validation_loss"]
    for patience in (0, 3, 20):
        explorer.controls["patience"].value = patience
        rule, waited = early_stopping.replay(history, patience, 1e-4)
        ended = f"stops after epoch {len(waited)}" if waited[-1] > patience else "still waiting when the record ends"
        assert ended in words(explorer) and f"keeps epoch {rule.best_epoch}," in words(explorer)


def test_one_gamma_on_two_data_sets(make):
    """0.9995 ** 333 and 0.9995 ** 69, and the gamma that would fall alike: 0.9995 ** (333 / 69)."""
    explorer = make["learning_rates"]()
    assert all(number in words(explorer) for number in ("0.847", "0.966", "4.8 times", "0.9976"))
    assert "shrinks to" not in words_after(explorer, "policy", "step")


def words_after(explorer, control, value):
    explorer.controls[control].value = value
    return words(explorer)


def test_a_preset_sets_the_design(make):
    explorer = make["learning_rates"]()
    for preset in dict(explorer.controls["preset"].options).values():
        explorer.controls["preset"].value = preset
        assert explorer.controls["policy"].value == preset.lr_policy
        assert explorer.controls["base_lr"].value == preset.base_lr
        gamma = explorer.controls["gamma" if preset.lr_policy == "exp" else "factor"]
        assert gamma.value == preset.gamma and not gamma.disabled


@pytest.mark.parametrize("lowest", [0.009, 0.003, 1e-3, 1e-4, 1e-6, 1e-9])
def test_a_log_scale_has_at_least_two_marks_and_at_most_ten(lowest):
    epochs = np.linspace(0, 15, 400)
    figure = plots.learning_rates({"one": (epochs, np.geomspace(0.01, lowest, 400))})
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert 2 <= sum(low <= mark <= high for mark in axes.yaxis.get_majorticklocs()) <= 10


# --- Mistakes


def test_list_and_cell_agree(make):
    explorer = make["mistakes"]()
    true, predicted = explorer.controls["frequent"].value
    assert (explorer.controls["true"].value, explorer.controls["predicted"].value) == (true, predicted)
    explorer.controls["predicted"].value = true
    assert explorer.controls["frequent"].value is None  # right answers are no mistake
    explorer.controls["frequent"].value = explorer.controls["frequent"].options[-1][1]
    assert explorer.controls["true"].value == explorer.controls["frequent"].value[0]


def test_the_images_behind_a_cell_are_its_own():
    """Images whose grey level is their number: those that are shown are those of the cell, the surest first."""
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.2, 0.8], [0.6, 0.4]])
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.full((8, 8, 3), 40, np.uint8)
    explorer = explorers.mistakes(probabilities, images, labels, ("cat", "dog"))
    assert explorer.controls["frequent"].options == (("cat taken for dog: 2", (0, 1)), ("dog taken for cat: 1", (1, 0)))
    assert "Of 3 images of cat, 1 are recognised and 2 are taken for dog." in words(explorer)
    first, second = sheet_greys(explorer)[:2]
    assert (first, second) == (80, 40)
    explorer.controls["frequent"].value = (1, 0)
    assert sheet_greys(explorer) == [160]


def sheet_greys(explorer):
    """Grey level in the middle of each image of a sheet, along its first row."""
    chosen = {name: explorer.controls[name].value for name in ("beside", "true", "predicted")}
    sheet = pixels(explorer.panels["images_beside"](**chosen)[0])
    line = sheet[int(sheet.shape[1] * (TITLE + 0.5) / PAGE)]
    middles = (np.arange(4) + 0.4) * sheet.shape[1] / 4
    return [int(line[int(middle)][0]) for middle in middles if line[int(middle)][0] != 255]


# --- Filters in numbers


def test_measures_of_filters():
    weights = random.normal(size=(40, 3, 11, 11))
    np.testing.assert_allclose(filter_numbers.norms(weights)[3] ** 2, (weights[3] ** 2).sum())
    assert filter_numbers.colourfulness(weights).mean() == pytest.approx(
        2 / 3, abs=0.02
    )  # of three directions, two are not grey
    assert filter_numbers.colourfulness(np.repeat(weights[:, :1], 3, axis=1)).max() < 1e-12
    assert abs(filter_numbers.smoothness(weights).mean()) < 0.02
    assert filter_numbers.smoothness(np.cumsum(np.cumsum(weights, axis=2), axis=3)).min() > 0.5
    np.testing.assert_allclose(filter_numbers.change(weights, 1.02 * weights), 0.02)
    with pytest.raises(ValueError, match="one shape"):
        filter_numbers.change(weights, weights[:3])


def test_the_spectrum_of_a_grating_has_its_frequency():
    """A cosine of period 4 pixels across: the spectrum peaks at a quarter of a cycle per pixel, and not down."""
    grating = np.cos(2 * np.pi * np.arange(12) / 4) * np.ones((3, 12, 1))
    row, column = np.unravel_index(filter_numbers.spectrum(grating).argmax(), (32, 32))
    assert row == 16 and abs(column - 16) == 8


DOWN, ACROSS = np.indices((11, 11)) - 5


def gabor(degrees, periods, phase=0.0, width=2.5):
    """Bands along an axis, 0 lying, 90 upright, counter-clockwise as seen, under a Gaussian; grey (1, 3, 11, 11)."""
    turned = np.radians(degrees)
    over = ACROSS * np.sin(turned) + DOWN * np.cos(turned)
    bands = np.cos(2 * np.pi * periods / 11 * over + phase) * np.exp(-(ACROSS**2 + DOWN**2) / 2 / width**2)
    return np.repeat(bands[None, None], 3, axis=1)


def surround(width, colour=(1, 1, 1)):
    """A centre and its surround, a difference of Gaussians that sums to 0 over the plane; (1, 3, 11, 11)."""
    inner, outer = (np.exp(-(ACROSS**2 + DOWN**2) / 2 / one**2) / one**2 for one in (width, 1.6 * width))
    return np.asarray(colour)[None, :, None, None] * (inner - outer)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 179), st.floats(2, 4), st.floats(0, 6))
def test_bands_have_their_axis_and_their_periods(degrees, periods, phase):
    weights = gabor(degrees, periods, phase)
    found = filter_numbers.patterns(weights)
    assert abs((found["orientation"][0] - degrees + 90) % 180 - 90) < 1
    assert abs(found["periods"][0] - periods) <= 1
    assert found["bandedness"][0] > 0.75 and filter_numbers.kinds(weights) == ["bands"]


def test_bandedness_is_the_coherence_of_the_second_moments():
    weights = random.normal(size=(6, 1, 11, 11))
    found = filter_numbers.patterns(weights)
    for filter_, periods, bandedness in zip(weights[:, 0], found["periods"], found["bandedness"]):
        moments = np.zeros((2, 2))
        for angle in np.arange(24) * np.pi / 24:
            way = np.array([np.cos(angle), np.sin(angle)])
            wave = np.exp(-2j * np.pi * periods / 11 * (way[0] * ACROSS + way[1] * DOWN))
            moments += np.abs(((filter_ - filter_.mean()) * wave).sum()) ** 2 * np.outer(way, way)
        low, high = np.linalg.eigvalsh(moments)
        if periods:
            assert bandedness == pytest.approx((high - low) / (high + low))


@pytest.mark.parametrize("width", [0.8, 1, 1.5, 2])
@pytest.mark.parametrize("colour", [(1, 1, 1), (-1, -1, 2), (0, 1, 0)])
def test_a_centre_and_its_surround_is_a_circle_in_any_colour(width, colour):
    found = filter_numbers.patterns(surround(width, colour))
    assert found["bandedness"] < 1e-12 and found["circularity"] > 0.99
    assert filter_numbers.kinds(surround(width, colour)) == ["circles"]


def test_a_blob_a_colour_and_nothing_are_neither_bands_nor_circles():
    blobs = np.exp(-(ACROSS**2 + DOWN**2) / 2 / np.array([1, 2, 3])[:, None, None, None] ** 2) * np.ones((1, 3, 1, 1))
    plain = np.ones((1, 3, 11, 11)) * [[[[1]], [[-1]], [[0]]]]
    weights = np.concatenate([blobs, plain, np.zeros((1, 3, 11, 11))])
    assert not filter_numbers.patterns(weights)["periods"].any()
    assert set(filter_numbers.kinds(weights)) == {"neither"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 1e4), st.sampled_from([-1, 1]))
def test_neither_scale_nor_sign_matters_and_a_quarter_turn_turns_the_axis(seed, scale, sign):
    weights = np.random.default_rng(seed).normal(size=(3, 3, 11, 11))
    found, scaled, turned = (
        filter_numbers.patterns(one) for one in (weights, sign * scale * weights, np.rot90(weights, axes=(2, 3)))
    )
    for name, values in found.items():
        for other in (scaled, turned):
            away = np.abs(other[name] - values)
            if name == "orientation":
                away = np.abs((away - 90 * (other is turned) + 90) % 180 - 90)
            np.testing.assert_allclose(away, 0 * values, atol=1e-5)  # NaN where there is no axis


@pytest.mark.parametrize("smooth", [0, 0.5, 1, 2])
def test_noise_passes_for_bands_or_circles_about_once_in_a_hundred(smooth):
    """White or smoothed, in colours or grey: 2,400 filters, of which 24 would be one in a hundred."""
    for channels in (1, 3):
        noise = gaussian_filter(random.normal(size=(2400, channels, 27, 27)), (0, 0, smooth, smooth))[..., 8:19, 8:19]
        found = filter_numbers.kinds(noise).tolist()
        assert max(found.count("bands"), found.count("circles")) <= 48


def test_nine_in_ten_are_found_under_half_as_much_noise_but_few_of_one_period():
    """What notebook 05 says of the count."""

    def found(make, kind):
        shapes = np.concatenate([make() for _ in range(300)])
        noise = gaussian_filter(random.normal(size=(300, 3, 11, 11)), (0, 0, 0.5, 0.5))
        shapes, noise = (one / filter_numbers.norms(one)[:, None, None, None] for one in (shapes, noise))
        return (filter_numbers.kinds(shapes + 0.5 * noise) == kind).mean()

    def bands(low, high):
        return gabor(random.uniform(0, 180), random.uniform(low, high), random.uniform(0, 6), random.uniform(2, 3))

    assert found(lambda: bands(1.5, 3), "bands") > 0.9
    assert found(lambda: bands(0.9, 1.1), "bands") < 0.2
    assert found(lambda: surround(random.uniform(1, 2)), "circles") > 0.9
    square = np.cos(2 * np.pi * 2 / 11 * np.maximum(abs(ACROSS), abs(DOWN)))
    assert filter_numbers.kinds(np.repeat(square[None, None], 3, axis=1)) == ["neither"]


def test_best_matches_undo_a_shuffle_even_of_other_strength():
    weights = random.normal(size=(24, 3, 11, 11))
    shuffle = random.permutation(24)
    other = 5 * weights[shuffle] + 0.1 * random.normal(size=weights.shape) + 1
    order, correlations = filter_numbers.match(weights, other)
    np.testing.assert_array_equal(shuffle[order], np.arange(24))
    assert correlations.min() > 0.99
    assert (filter_numbers.match(np.ones((4, 3, 5, 5)), random.normal(size=(4, 3, 5, 5)))[1] == 0).all()


def test_recorded_filters_need_no_images(make):
    """What recorded/ holds: conv1 after each epoch, and nothing else; the slider runs over the epochs."""
    first, last = random.normal(size=(2, 16, 3, 11, 11)).astype(np.float16)
    explorer = explorers.filters(
        {"start": {"conv1_s1": [first]}, "end": {"conv1_s1": [last]}}, epochs={"end": {0: first, 9: last}}
    )
    assert list(explorer.controls["layer"].options) == ["conv1_s1"] and "patches" not in explorer.views
    explorer.controls["network"].value = "end"
    ended = explorer.views["grid"].value
    explorer.controls["epoch"].value = 0
    assert explorer.views["grid"].value != ended and "changed by 0.0%" in words(explorer)
    explorer.controls["epoch"].value = 9
    assert source(explorer.views["grid"]) == re.search('src="(.*?)"', ended)[1]


def source(view):
    return re.search('src="(.*?)"', view.value)[1]


# --- What a net looks at


@pytest.fixture(scope="module")
def branch():
    return nets.branch(4, batch_size=1, fillers="he", width=0.25)


def test_receptive_fields_hold_all_that_a_unit_depends_on(branch):
    """Pixels with a gradient, from Caffe's own backward pass, lie inside the field, and touch all of its sides."""
    message = type(branch)()
    message.CopyFrom(branch)
    message.force_backward = True
    net = nets.instantiate(message)
    net.blobs["data"].data[...] = random.normal(size=net.blobs["data"].data.shape)
    net.forward()
    fields = inspection.receptive_fields(branch)
    assert (fields["conv1_s1"].size, fields["conv2_s1"].size, fields["pool5_s1"].size) == (11, 31, 103)
    for blob, layer in (("conv1_s1", "conv1_s1"), ("norm1_s1", "norm1_s1"), ("conv3_s1", "conv3_s1")):
        data = net.blobs[blob].data
        row, column = (size // 2 for size in data.shape[2:])
        net.blobs[blob].diff[...] = 0
        net.blobs[blob].diff[0, :, row, column] = random.normal(size=data.shape[1])
        net._backward(*[list(net._layer_names).index(layer)] * 1, 0)
        depends = np.abs(net.blobs["data"].diff[0]).max(axis=0) > 0
        rows, columns = (np.flatnonzero(depends.any(axis=axis)) for axis in (1, 0))
        top, left, bottom, right = fields[blob].box(row, column, 64)
        assert top <= rows.min() and rows.max() < bottom and left <= columns.min() and columns.max() < right
        assert rows.max() - rows.min() >= 0.8 * (bottom - top) - 1


def test_the_strongest_places_are_those_of_an_exhaustive_search(branch):
    net = nets.instantiate(branch)
    examples = Examples(random.normal(size=(7, 3, 64, 64)).astype(np.float32), np.zeros(7, int))
    places = inspection.strongest(net, examples, ["conv1_s1", "conv4_s1"], count=3, batch_size=4)
    for blob, found in places.items():
        answers = np.concatenate([forward(net, examples.inputs[i : i + 1], blob) for i in range(7)])
        best = np.argsort(-answers.max(axis=(2, 3)), axis=0, kind="stable")[:3]
        np.testing.assert_array_equal(found[..., 0], best.T)
        for channel in range(0, answers.shape[1], 5):
            image, row, column = found[channel, 0]
            assert answers[image, channel, row, column] == pytest.approx(answers[:, channel].max(), rel=1e-5)


def forward(net, data, blob):
    net.blobs["data"].reshape(*data.shape)
    net.blobs["data"].data[...] = data
    net.blobs["label"].reshape(len(data))
    net.blobs["label"].data[...] = 0
    net.forward()
    return net.blobs[blob].data.copy()


def test_occlusion_is_the_fall_of_the_predicted_class(branch):
    net = nets.instantiate(branch)
    image = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    look = inspection.look(net, image, lambda images: (images.transpose(0, 3, 1, 2) / 50).astype(np.float32))
    assert look.probabilities.sum() == pytest.approx(1) and look.occlusion.shape == (7, 7)
    assert look.blobs["conv1_s1"].shape == (24, 27, 27) and "data" not in look.blobs
    hidden = (image.transpose(2, 0, 1) / 50).astype(np.float32)[None]
    hidden[:, :, 16:32, 40:56] = 0
    scores = forward(net, hidden, "fc6")[0].astype(float)
    probabilities = np.exp(scores) / np.exp(scores).sum()
    best = look.probabilities.argmax()
    assert look.occlusion[2, 5] == pytest.approx(look.probabilities[best] - probabilities[best], abs=1e-5)


def png_file(size=(90, 60)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        {"red.png": {"metadata": {"name": "red.png"}, "content": png_file()}},  # ipywidgets 7
        ({"name": "red.png", "content": memoryview(png_file())},),  # ipywidgets 8
    ],
)
def test_an_upload_is_read_with_both_versions_of_ipywidgets(value):
    image = inspection.own_image(*controls.uploaded(value))
    assert image.shape == (64, 64, 3) and (image == (200, 30, 30)).all()


def test_an_upload_becomes_the_image_and_a_text_file_is_refused_in_words(make, capsys):
    explorer = make["activations"]()
    upload, image = explorer.controls["upload"], explorer.controls["image"]
    count = len(image.options)
    for name, content in (("notes.txt", b"not an image"), ("red.png", png_file())):
        before = pictures(explorer)
        file = {"name": name, "type": "", "size": len(content), "content": content, "last_modified": 0}
        upload.set_state({"value": [file | {"content": memoryview(content)}]})
        if name == "notes.txt":
            assert "notes.txt is not an image" in capsys.readouterr().out and pictures(explorer) == before
    assert len(image.options) == count + 1 and image.value == count
    assert pictures(explorer)["seen"] != before["seen"]
