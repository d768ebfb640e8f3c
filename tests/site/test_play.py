"""The network in the browser: the same answers as Caffe's, a game that a keyboard plays, a sentence where it cannot."""

import base64
import re
import shutil

import make_play
import numpy as np
import pytest
from chromium import CHROMIUM, launched
from servers import folder_server

from helpers.pretext import puzzle_head

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium that starts; `apt-get install chromium` gives it")
READY = "document.getElementById('play-state').textContent.startsWith('Put')"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where a server has the page, without the site around it."""
    if not make_play.available():
        pytest.skip("onnxruntime-web could not be fetched by npm")
    folder = tmp_path_factory.mktemp("play")
    words = make_play.make(folder / "play")
    body = make_play.page(words).split("```{raw} html\n")[1].split("```")[0]
    style = (make_play.HERE / "static" / "course.css").read_text(encoding="utf-8")
    head = f"<!doctype html><html lang=en><meta charset=utf-8><style>{style}</style>"
    (folder / "play.html").write_text(head + body, encoding="utf-8")
    assert sum(path.stat().st_size for path in (folder / "play").iterdir()) < 15e6, "megabytes that a visitor downloads"
    with folder_server(folder) as server:
        yield f"{server}/play.html"


@pytest.fixture
def opened(address):
    """A function that opens the page in a browser in which a script has run before."""
    with launched() as browser:

        def opening(before="", load=True, **looks):
            page = browser.new_page(**looks)
            page.add_init_script(before)
            page.errors = []
            page.on("pageerror", lambda error: page.errors.append(error))
            page.fetched = []
            page.on("request", lambda request: page.fetched.append(request.url))
            page.goto(address, wait_until="networkidle")
            if load:
                page.click("#play-load")
            return page

        yield opening


def test_two_hundred_puzzles_have_the_answers_that_caffe_gives(opened):
    puzzles = puzzle_head.shown()[0][:200]
    ours = puzzle_head.answers(puzzle_head.load(), puzzles)
    page = opened()
    page.wait_for_function(READY, timeout=60_000)
    theirs = []
    for part in np.array_split(puzzles, 20):
        coded = base64.b64encode(part.tobytes()).decode()
        theirs += page.evaluate(
            """async (coded) => {
                const bytes = Uint8Array.from(atob(coded), (letter) => letter.charCodeAt(0)), size = 9 * 64 * 64 * 3;
                const found = [];
                for (let i = 0; i < bytes.length; i += size) {
                    found.push((await window.jigsawAnswer(bytes.subarray(i, i + size))).probabilities);
                }
                return found;
            }""",
            coded,
        )
    assert (np.argmax(theirs, axis=1) == ours.argmax(axis=1)).all()
    np.testing.assert_allclose(theirs, ours, atol=0.005)
    assert not page.errors


def test_megabytes_are_fetched_when_they_are_asked_for(opened):
    page = opened(load=False)
    large = ("solver.onnx", ".wasm.gz", ".webp", "ort.wasm.min.mjs")
    assert not [url for url in page.fetched if url.endswith(large)], "fetched without asking"
    told = float(re.search(r"([\d.]+) MB", page.inner_text("#play-ask"))[1])
    assert 5 < told < 15 and not page.is_visible("#play-controls")
    page.click("#play-load")
    page.wait_for_function(READY, timeout=60_000)
    assert [url for url in page.fetched if url.endswith("solver.onnx")] and not page.is_visible("#play-ask")
    assert page.is_visible("#play-controls") and not page.errors


def test_on_a_phone_the_answer_is_seen_after_checking(opened):
    page = opened(viewport={"width": 420, "height": 800}, has_touch=True)
    page.wait_for_function(READY, timeout=60_000)
    page.click("#play-check")
    page.wait_for_selector("#play-answer ol li")
    box = page.locator("#play-answer").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 801, f"the answer lies outside of the screen: {box}"


def test_a_puzzle_is_played_by_keyboard_and_checked(opened):
    page = opened()
    page.wait_for_function(READY, timeout=60_000)
    tiles = page.locator("[role=gridcell] img").evaluate_all("images => images.map(image => image.src)")
    page.focus("[role=gridcell]")
    for key in ("Enter", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    moved = page.locator("[role=gridcell] img").evaluate_all("images => images.map(image => image.src)")
    assert moved == [tiles[1], tiles[0], *tiles[2:]]
    page.focus("#play-check")
    page.keyboard.press("Enter")
    page.wait_for_selector("#play-answer ol li")
    assert page.locator("#play-answer ol li").count() == 5 and "The true permutation" in page.inner_text("#play-state")
    assert page.locator("#play-score tbody tr").count() == 2
    maps = page.evaluate("document.getElementById('play-maps').toDataURL()")
    page.select_option("#play-blob", "conv5_s1")
    assert page.evaluate("document.getElementById('play-maps').toDataURL()") != maps
    page.check("#play-grey")
    page.wait_for_function(READY)
    assert not page.locator("#play-answer ol li").count() and not page.errors


def test_an_own_picture_joins_the_photographs_and_what_is_none_is_refused(opened, tmp_path):
    page = opened()
    page.wait_for_function(READY, timeout=60_000)
    (tmp_path / "notes.png").write_text("no picture")
    page.set_input_files("#play-upload", tmp_path / "notes.png")
    page.wait_for_function("document.getElementById('play-state').textContent.includes('notes.png is no picture')")
    shutil.copy(make_play.HERE / "images" / "hero-light.webp", tmp_path / "mine.webp")
    page.set_input_files("#play-upload", tmp_path / "mine.webp")
    page.wait_for_function(READY)
    assert page.input_value("#play-photo") == "mine.webp" and not page.errors


def test_without_webassembly_a_sentence_stands_there(opened):
    page = opened("delete window.WebAssembly", load=False)
    page.wait_for_function("document.getElementById('play-state').textContent.includes('WebAssembly')", timeout=60_000)
    assert not page.is_visible("#play-controls") and not page.is_visible("#play-load") and not page.errors


def test_another_package_than_the_one_we_know_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("JIGSAW_CACHE", str(tmp_path))
    (tmp_path / make_play.RUNTIME).write_bytes(b"another")
    with pytest.raises(ValueError, match="has the checksum .* delete it to fetch it again"):
        make_play.runtime()


@pytest.mark.parametrize("npm", ["absent", "without a network"])
def test_without_the_runtime_the_site_says_so_and_goes_on(npm, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JIGSAW_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    if npm != "absent":
        (tmp_path / "bin" / "npm").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin-without-npm")
    assert not make_play.available()
    assert "no network plays on the site: " in capsys.readouterr().out
