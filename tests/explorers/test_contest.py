"""Playing against the network: what is dealt, who is right about what, the score, the board, one's own photographs."""

import io
import re

import numpy as np
import pytest
import traitlets
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image

from helpers import explorers, jigsaw
from helpers.explorers.board import DEALT, Board

PERMUTATIONS = jigsaw.choose_permutations(6, seed=1)
CELLS = np.array([10, 35, 60, 85, 110, 135, 160, 185, 210], np.uint8)  # grey levels of the cells of `photo`
random = np.random.default_rng(0)


def photo(side=300):
    """A photograph whose brightness rises from cell to cell wherever it is cut, so that its tiles can be told apart."""
    row, column = np.mgrid[:side, :side] // (side / 3)
    return np.repeat(CELLS[(3 * row + column).astype(int)][..., None], 3, axis=2)


def knows(puzzles):
    """What a network that is right says: 0.9 to the permutation that brightness tells."""
    cells = 1 + puzzles.mean(axis=(2, 3, 4)).argsort(axis=1).argsort(axis=1)
    return np.where((PERMUTATIONS[None] == cells[:, None]).all(axis=2), 0.9, 0.02)


def mistaken(puzzles):
    """One that is sure of the next permutation and gives the true one 0.02."""
    return np.roll(knows(puzzles), 1, axis=1)


def play(guess=knows, photos=None, **settings):
    """(the explorer, its controls)"""
    explorer = explorers.contest(photos or {"steps": photo()}, PERMUTATIONS, guess, **settings)
    return explorer, explorer.controls


def press(controls, *names):
    for name in names:
        controls[name].click()


def solution(explorer):
    """The order of the solution."""
    game = explorer.twin[0].__self__
    return jigsaw.inverse(game.permutations[game.label]).tolist()


def words(explorer):
    return BeautifulSoup(explorer.views["words"].value, "html.parser").get_text(" ", strip=True)


def score(explorer):
    """The rows of the table."""
    page = BeautifulSoup(explorer.views["words"].value, "html.parser")
    return [[cell.get_text() for cell in row.find_all("td")] for row in page.find_all("tr")[1:]]


def alt(explorer, panel):
    return BeautifulSoup(explorer.views[panel].value, "html.parser").img["alt"]


# --- Rounds


def test_a_solved_puzzle_counts_for_both():
    explorer, controls = play()
    assert "1 in 6" in words(explorer) and "362,880" in words(explorer) and not score(explorer)
    controls["board"].value = solution(explorer)
    press(controls, "check")
    assert controls["board"].marks == [True] * 9
    assert "You have all nine tiles in place, the network has all nine tiles in place." in words(explorer)
    assert "the true permutation 90%, number 1 of 6; chance is 1 in 6" in words(explorer)
    assert score(explorer) == [["1 of 1", "9 of 9"], ["1 of 1", "9 of 9"]]
    assert alt(explorer, "network").endswith(f"{solution(explorer)}: 9 of 9 are in place.")


def test_a_mistaken_network_and_two_swapped_tiles():
    explorer, controls = play(mistaken)
    one, other, *rest = solution(explorer)
    controls["board"].value = [other, one, *rest]
    press(controls, "check")
    assert controls["board"].marks == [False, False] + [True] * 7
    network = re.search(r"order \[(.*)\]: (\d) of 9", alt(explorer, "network"))
    order = [int(number) for number in network[1].split(",")]
    right = sum(tile == true for tile, true in zip(order, solution(explorer)))
    assert int(network[2]) == right < 9
    assert f"You have 7 of 9, the network has {right} of 9. It gave the true permutation 2%" in words(explorer)
    assert score(explorer) == [["0 of 1", "7 of 9"], ["0 of 1", f"{right} of 9"]]


def test_the_score_runs_over_rounds_and_a_puzzle_counts_once():
    explorer, controls = play()
    press(controls, "check", "check")
    placed = sum(controls["board"].marks)
    controls["check"].value += 1  # the same as a press that came before the button was disabled
    assert score(explorer)[1] == ["1 of 1", "9 of 9"]
    press(controls, "deal")
    assert score(explorer)[1] == ["1 of 1", "9 of 9"] and "Put the tiles in order" in words(explorer)
    controls["board"].value = solution(explorer)
    press(controls, "check")
    assert score(explorer) == [["1 of 2", f"{placed + 9} of 18"], ["2 of 2", "18 of 18"]]


def test_the_networks_answer_is_hidden_until_the_check():
    explorer, controls = play()
    hidden = explorer.views["network"].value
    controls["board"].value = solution(explorer)
    assert explorer.views["network"].value == hidden and "grey tiles" in alt(explorer, "network")
    assert not BeautifulSoup(explorer.views["confidence"].value, "html.parser").img
    press(controls, "check")
    assert explorer.views["network"].value != hidden and controls["check"].disabled
    assert "the first has 90%, the true one 90%" in alt(explorer, "confidence")
    press(controls, "deal")
    assert explorer.views["network"].value == hidden and not controls["check"].disabled
    assert controls["board"].value == DEALT and not controls["board"].marks


def test_the_network_is_asked_about_the_very_tiles_on_the_board():
    asked = []
    _, controls = play(lambda puzzles: asked.append(puzzles) or knows(puzzles))
    for name, value in (("deal", None), ("grey", True)):
        press(controls, name) if value is None else controls[name].set_trait("value", value)
    assert [puzzles.shape for puzzles in asked] == [(1, 9, 64, 64, 3)] * 3
    for address, tile in zip(controls["board"].pictures, asked[-1][0]):
        np.testing.assert_array_equal(pixels(address), tile)


def pixels(address):
    content = __import__("base64").b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def test_every_puzzle_is_cut_anew_and_permutations_vary():
    explorer, controls = play(photos={"noise": random.integers(0, 256, (300, 400, 3), dtype=np.uint8)})
    seen = set()
    for _ in range(12):
        press(controls, "deal")
        seen.add((tuple(controls["board"].pictures), tuple(solution(explorer))))
    assert len(seen) == 12 and len({order for _, order in seen}) > 2


def test_grey_and_a_chosen_photograph():
    red, blue = (np.full((300, 300, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    _, controls = play(photos={"red": red, "blue": blue})
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        controls["photo"].value = name
        assert all((pixels(address) == colour).all() for address in controls["board"].pictures)
    controls["grey"].value = True
    assert (pixels(controls["board"].pictures[0]) == 23).all()  # 0.114 of 200
    controls["photo"].value = "at random"
    greys = {int(pixels(controls["board"].pictures[0])[0, 0, 0]) for _ in range(12) if press(controls, "deal") is None}
    assert greys == {23, 60}


# --- Without the board


def test_swapping_by_numbers_does_what_the_board_does():
    explorer, controls = play(plain=True)
    assert controls["board"] not in explorer.below.children and controls["swap"] in explorer.above.children
    for position, tile in enumerate(solution(explorer)):  # selection sort
        controls["first"].value = position + 1
        controls["second"].value = controls["board"].value.index(tile) + 1
        press(controls, "swap")
    assert str(solution(explorer)) in alt(explorer, "tiles")
    press(controls, "check", "swap")  # after the check nothing moves
    assert controls["board"].value == solution(explorer) and score(explorer)[0] == ["1 of 1", "9 of 9"]


def test_board_and_numbers_take_turns():
    explorer, controls = play()
    assert controls["board"] in explorer.below.children and controls["swap"] not in explorer.above.children
    controls["plain"].value = True
    assert explorer.views["tiles"] in explorer.below.children
    before = explorer.views["tiles"].value
    controls["first"].value = 9  # another outline
    assert explorer.views["tiles"].value != before
    controls["plain"].value = False
    assert controls["board"] in explorer.below.children


# --- A reader's own photograph


def upload(controls, name, content):
    file = {"name": name, "type": "", "size": len(content), "content": content, "last_modified": 0}
    controls["upload"].set_state({"value": [file | {"content": memoryview(content)}]})


def test_a_readers_own_photograph_is_dealt_and_a_text_file_is_refused_in_words(capsys):
    explorer, controls = play()
    before = controls["board"].pictures
    upload(controls, "notes.txt", b"not an image")
    assert "notes.txt is not an image" in capsys.readouterr().out and controls["board"].pictures == before
    picture = io.BytesIO()
    Image.new("RGB", (90, 60), (200, 30, 30)).save(picture, "PNG")
    upload(controls, "<b>me.png", picture.getvalue())
    assert controls["photo"].options == ("at random", "steps", "<b>me.png")
    assert controls["photo"].value == "<b>me.png"
    assert all((pixels(address) == (200, 30, 30)).all() for address in controls["board"].pictures)
    press(controls, "check")
    assert "It was <b>me.png" in words(explorer)


# --- The board


def test_the_board_takes_permutations_only():
    board = Board()
    for wrong in ([1] * 9, list(range(9)), DEALT[:8], []):
        with pytest.raises(traitlets.TraitError, match="each of 1..9 once"):
            board.value = wrong
    board.value = DEALT[::-1]
    board.deal(np.zeros((9, 64, 64, 3), np.uint8))
    assert board.value == DEALT and board.marks == [] and len(board.pictures) == 9


def test_without_a_kernel_the_puzzle_is_seen_and_not_its_solution():
    InteractiveShell.instance()
    explorer, _ = play()
    with capture_output() as captured:
        explorer._ipython_display_()
    page = BeautifulSoup(captured.outputs[0].data["text/html"], "html.parser")
    assert [image["alt"][:12] for image in page.find_all("img")] == ["A puzzle of "]
    assert "Put the tiles in order" in page.get_text()
