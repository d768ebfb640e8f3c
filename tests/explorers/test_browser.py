"""The explorers in a real browser: JupyterLab in Chromium runs notebooks, controls are moved by mouse and keyboard.

Screenshots at 1280 and 800 pixels are left in build/browser/.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import pytest
import shrunk
from chromium import CHROMIUM
from conftest import ROOT

SHOTS = ROOT / "build" / "browser"
NOTEBOOKS = ("01_pretext", "03_last_layer", "05_filters")
SETTINGS = {  # no news, no cells that are not drawn until they are scrolled to
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}
SOURCES = "JSON.stringify([...cell.querySelectorAll('.widget-html img')].map(image => image.src))"


pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium that starts; `apt-get install chromium` gives it")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that serves the shrunk notebooks, with settings and runs of its own."""
    folder = tmp_path_factory.mktemp("lab")
    shrunk.write(folder, *NOTEBOOKS)
    for name, text in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JIGSAW_RUNS": str(folder / "runs"),
        "JIGSAW_PROFILE": "quick",
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=puzzle"]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"{address}/api", timeout=5)
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield browser
        browser.close()


@pytest.fixture
def notebook(lab, browser, request):
    """A page on which the notebook named by the test's parameter has run from top to bottom."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    # A workspace of its own: the common one would open the notebooks of earlier tests again.
    page.goto(f"{lab}/lab/workspaces/{request.param}/tree/notebooks/{request.param}.ipynb?token=puzzle")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel", timeout=120_000)
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_default_timeout(60_000)
    assert page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    yield page
    page.close()


class Hand:
    """Works one explorer as a reader would; every move must change one of its pictures, and raise nothing."""

    def __init__(self, page, source):
        self.page = page
        self.cell = page.locator(".jp-CodeCell", has_text=source)
        self.pictures = self.cell.locator(".widget-html img")
        self.pictures.first.wait_for(timeout=240_000)  # until the notebook has run so far
        self.cell.scroll_into_view_if_needed()
        assert not self.cell.locator("[class^=twin-]").is_visible(), "the static twin is seen beside the explorer"

    def moves(self, act):
        before = self.shown()
        act()
        self.page.wait_for_function(
            f"([cell, before]) => {SOURCES} !== before",
            arg=[self.cell.element_handle(), before],
        )
        assert not self.cell.locator("[data-mime-type='application/vnd.jupyter.stderr']").count()
        assert not self.cell.get_by_text("Traceback").count()

    def shown(self):
        return self.cell.evaluate(f"cell => {SOURCES}")

    def control(self, words):
        words = self.page.get_by_text(words, exact=True)
        return self.cell.locator(".widget-inline-hbox, .widget-hslider", has=words)

    def choose(self, words, option):
        self.moves(lambda: self.control(words).locator("select").select_option(option))

    def press(self, words, key):
        handle = self.control(words).locator(".noUi-handle")
        handle.focus()
        self.moves(lambda: handle.press(key))

    def drag(self, words, share):
        """Click on a slider's track with the mouse, at a share of its length."""
        track = self.control(words).locator(".noUi-target").bounding_box()
        self.moves(lambda: self.page.mouse.click(track["x"] + share * track["width"], track["y"] + track["height"] / 2))

    def tick(self, words):
        box = self.control(words).locator("input")
        box.focus()
        self.moves(lambda: box.press("Space"))

    def press_button(self, words):
        self.moves(self.cell.get_by_role("button", name=words).click)

    def click(self, picture, across, down):
        image = self.pictures.nth(picture)
        # at once, without waiting for it to be stable: a redraw may replace it meanwhile
        image.evaluate("image => image.scrollIntoView({block: 'nearest'})")
        size = image.bounding_box()
        self.moves(lambda: image.click(position={"x": across * size["width"], "y": down * size["height"]}))

    def photograph(self, name):
        """Screenshots of the explorer in a wide and in a narrow window; nothing may stick out of the cell."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        explorer = self.cell.locator(".jupyter-widgets.widget-vbox").first
        for width in (1280, 800):
            self.page.set_viewport_size({"width": width, "height": 2000})
            self.page.wait_for_timeout(500)  # the notebook lays itself out again
            explorer.scroll_into_view_if_needed()
            explorer.screenshot(path=SHOTS / f"{name}_{width}.png")
            frame = self.cell.bounding_box()
            for image in self.pictures.all():
                box = image.bounding_box()
                assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1, f"{name} at {width} pixels"
        self.page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("notebook", NOTEBOOKS[:1], indirect=True)
def test_puzzles_can_be_cut(notebook):
    hand = Hand(notebook, "explorers.puzzles")
    hand.choose("photograph", "chelsea")
    hand.drag("tile (pixels)", 0.9)
    hand.press("permutation", "ArrowRight")
    hand.tick("grey")
    hand.photograph("puzzles")


@pytest.mark.parametrize("notebook", NOTEBOOKS[:1], indirect=True)
def test_the_network_is_played_against_by_mouse_by_keyboard_and_by_numbers(notebook):
    play(notebook)


def play(page):
    hand = Hand(page, "explorers.contest")
    board = hand.cell.locator(".jigsaw-board")
    tiles, status, score = board.get_by_role("gridcell"), board.locator(".status"), hand.cell.locator("table")

    def order():
        return [int(tile.get_attribute("aria-label").split("tile ")[1][0]) for tile in tiles.all()]

    def keys(*names):
        for name in names:
            page.keyboard.press(name)

    tiles.nth(0).drag_to(tiles.nth(4))
    assert order() == [5, 2, 3, 4, 1, 6, 7, 8, 9]
    tiles.nth(2).click()
    tiles.nth(8).click()
    assert order() == [5, 2, 9, 4, 1, 6, 7, 8, 3] and status.inner_text() == "Tiles 3 and 9 have changed places."

    keys("ArrowLeft", "Enter", "ArrowUp", "ArrowUp")  # from row 3, column 3
    assert order()[1] == 8 and status.inner_text() == "Over row 1, column 2."
    hand.photograph("contest_held")
    keys("Escape")
    assert order() == [5, 2, 9, 4, 1, 6, 7, 8, 3] and status.inner_text() == "Put back."
    keys("Space", "ArrowUp", "Space", "Shift+Tab")  # Tab leaves the board
    assert order() == [5, 2, 9, 4, 8, 6, 7, 1, 3] and not board.locator(":focus").count()

    hand.press_button("check, and see the network's answer")
    score.get_by_text("of 1").first.wait_for()
    board.get_by_text("tiles are in place").wait_for()
    assert status.inner_text() == f"{board.locator('.right').count()} of 9 tiles are in place."
    hand.photograph("contest")
    before = order()
    tiles.nth(0).drag_to(tiles.nth(4))
    assert order() == before, "a tile moves although the answer has been checked"

    hand.press_button("next puzzle")
    assert order() == list(range(1, 10)) and not board.locator(".right, .wrong").count()
    hand.tick("swap by numbers")
    hand.choose("tile at position", "3")
    hand.press_button("change places")
    hand.press_button("check, and see the network's answer")
    score.get_by_text("of 2").first.wait_for()
    hand.photograph("contest_by_numbers")


@pytest.mark.parametrize("notebook", NOTEBOOKS[1:2], indirect=True)
def test_losses_rates_and_mistakes_answer(notebook):
    hand = Hand(notebook, "explorers.learning_rates")
    hand.press("gamma per iteration", "ArrowLeft")
    hand.choose("lr_policy", "step")
    hand.drag("base_lr", 0.3)
    hand.photograph("learning_rates")

    hand = Hand(notebook, "explorers.losses")
    hand.choose("along", "iterations")
    hand.press("mean of the last iterations", "ArrowRight")
    hand.tick("learning rate")
    hand.tick("log scale")
    hand.photograph("losses")

    hand = Hand(notebook, "explorers.mistakes")
    hand.click(0, 0.5, 0.5)
    hand.choose("true class", "rocket")
    hand.choose("beside it", "accuracy by class")
    hand.photograph("mistakes")


@pytest.mark.parametrize("notebook", NOTEBOOKS[2:], indirect=True)
def test_filters_and_activations_answer(notebook):
    hand = Hand(notebook, "explorers.activations")
    hand.choose("blob", "conv3_s1: 384 × 6 × 6")
    hand.press("channel", "ArrowRight")
    hand.click(1, 0.4, 0.6)
    hand.photograph("activations")

    hand = Hand(notebook, "explorers.filters(networks")
    hand.click(0, 0.7, 0.7)
    hand.press("filter at place", "ArrowRight")
    hand.choose("beside it", "from scratch")
    hand.choose("scale", "one scale for all")
    hand.choose("order by", "change")  # of "jigsaw, fine-tuned", with which it begins
    hand.photograph("filters")

    hand = Hand(notebook, "epochs={")  # it begins with one scale for all
    hand.drag("after epoch", 0.02)
    hand.press("after epoch", "ArrowRight")
    hand.photograph("epochs")
