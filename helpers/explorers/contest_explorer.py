"""Play against the network: the same puzzles for a reader and for a network, and a score for both."""

import html

import numpy as np

from helpers import jigsaw, plots
from helpers.data import preprocessing
from helpers.explorers import inspection
from helpers.explorers.board import DEALT, Board
from helpers.explorers.controls import Explorer, Press, choice, tick, upload, uploaded
from helpers.plots.puzzles import likeliest, share
from helpers.plots.style import img

ANY = "at random"
SIDE = jigsaw.GRID * jigsaw.CELL + 45  # pixels, the short side of a photograph: nine cells, and room to cut elsewhere
WIDTH = 2.9  # inches, a puzzle; board.css has the same


def contest(photos, permutations, guess, plain=False, seed=0):
    """Solve puzzles on a board, and see how a network does on the same ones.

    photos: {name: uint8 (H, W, 3)} of any sizes; readers can add their own. permutations: (m, 9), those that are dealt.
    guess: function, puzzles uint8 (N, 9, 64, 64, 3), tiles shuffled -> probabilities (N, m). It is called when a puzzle
    is dealt. plain: begin without the board, whose JavaScript not every front end loads. seed: of photographs and cuts.
    """
    game = Game(photos, permutations, guess, seed)
    board = Board()
    controls = {
        "photo": choice("photograph", [ANY, *photos]),
        "upload": upload("your own photograph"),
        "grey": tick("grey"),
        "plain": tick("swap by numbers", plain),
        "first": choice("tile at position", DEALT),
        "second": choice("and at position", DEALT, 2),
        "swap": Press("change places"),
        "check": Press("check, and see the network's answer"),
        "deal": Press("next puzzle"),
        "board": board,
    }

    def deal():
        game.deal(controls["photo"].value, controls["grey"].value)
        board.deal(game.puzzle)
        controls["check"].disabled = controls["swap"].disabled = False

    def add(value):
        try:
            content, name = uploaded(value)
            game.photos[name] = inspection.own_image(content, name, SIDE)
        except ValueError as error:
            print(error)
            return
        controls["photo"].options = [ANY, *game.photos]
        controls["photo"].value = name
        change("photo")

    def change(name):
        if name == "upload" and controls["upload"].value:
            add(controls["upload"].value)
        elif name in ("photo", "grey"):
            controls["deal"].value += 1
            deal()
        elif name == "deal":
            deal()
        elif name == "swap" and not board.marks:
            order, one, other = list(board.value), controls["first"].value - 1, controls["second"].value - 1
            order[one], order[other] = order[other], order[one]
            board.value = order
        elif name == "check" and not board.marks:
            board.marks = game.check(board.value)
            controls["check"].disabled = controls["swap"].disabled = True
        elif name == "plain":
            arrange()

    def arrange():
        plain, shown = controls["plain"].value, explorer.views
        hidden = {"board"} if plain else {"board", "first", "second", "swap"}
        explorer.above.children = [control for name, control in controls.items() if name not in hidden]
        explorer.below.children = [
            shown["tiles"] if plain else board,
            shown["network"],
            shown["confidence"],
            shown["words"],
        ]

    deal()
    panels, twin = [game.tiles, game.network, game.confidence, game.words], [game.dealt, game.words]
    caption = "A puzzle to solve before the network does: nine shuffled tiles of a photograph."
    explorer = Explorer(controls, panels, caption, change, twin=twin)
    explorer.views["words"].layout.flex = "1 1 100%"  # below the pictures
    arrange()
    return explorer


class Game:
    """What has been dealt, and the score. Arguments as `contest` has them.

    puzzle: uint8 (9, 64, 64, 3), shuffled. label: the row of its permutation. probabilities: what the network said to
    it, (m,). answered: whether this puzzle is over.
    results: {player: [bool (9,) for each puzzle that is over, which tiles were in place]}.
    """

    def __init__(self, photos, permutations, guess, seed=0):
        self.photos = {name: preprocessing.resize_short_side(photo, SIDE) for name, photo in photos.items()}
        self.permutations, self.guess = np.asarray(permutations), guess
        self.results = {"you": [], "the network": []}
        self.hidden = _hidden()
        self._rng = np.random.default_rng(seed)

    def deal(self, photo, grey=False):
        """Cut a new puzzle of the photograph of that name, or of ANY, and ask the network."""
        names = list(self.photos)
        self.photo = names[self._rng.integers(len(names))] if photo == ANY else photo
        self.label = int(self._rng.integers(len(self.permutations)))
        tiles = jigsaw.cut_tiles(self.photos[self.photo], rng=self._rng)
        tiles = jigsaw.grey_tiles(tiles) if grey else tiles
        self.puzzle = jigsaw.shuffle_tiles(tiles, self.permutations[self.label])
        self.probabilities, self.answered = self.guess(self.puzzle[None])[0], False

    def check(self, order):
        """Write down both results, and tell the reader's: nine booleans."""
        self.answered = True
        for results, answer in zip(self.results.values(), (order, self.network_order())):
            results.append(self.in_place(answer))
        return self.results["you"][-1].tolist()

    def in_place(self, order):
        """Which tiles are in place, bool (9,), when tile order[i] of the puzzle lies at position i."""
        return jigsaw.shuffle_tiles(self.permutations[self.label], order) == DEALT

    def network_order(self):
        """The order that undoes the network's most probable permutation."""
        return jigsaw.inverse(self.permutations[self.probabilities.argmax()])

    # --- Panels; a puzzle that is checked or dealt draws them anew

    def tiles(self, plain, board, first, second, check, deal):
        """The reader's tiles instead of the board, positions numbered; two are outlined until the answer is checked."""
        if not plain:
            return ""
        marks = [" ✓" if right else " ✗" for right in self.in_place(board)] if self.answered else [""] * 9
        labels = [f"{position}{mark}" for position, mark in zip(DEALT, marks)]
        chosen = () if self.answered else (first - 1, second - 1)
        figure = plots.tiles(jigsaw.shuffle_tiles(self.puzzle, board), labels, "your tiles", WIDTH, chosen)
        return figure, f"Your tiles, as dealt numbered 1 to 9, lie in the order {list(board)}."

    def network(self, check, deal):
        if not self.answered:
            return self.hidden
        order, right = self.network_order(), self.results["the network"][-1]
        labels = ["✓" if place else "✗" for place in right]
        figure = plots.tiles(jigsaw.shuffle_tiles(self.puzzle, order), labels, "the network's answer", WIDTH)
        return figure, f"The network lays the tiles in the order {order.tolist()}: {right.sum()} of 9 are in place."

    def confidence(self, check, deal):
        if not self.answered:
            return ""
        figure = likeliest(self.puzzle, self.permutations, self.probabilities, self.label)
        first, true = map(share, (self.probabilities.max(), self.probabilities[self.label]))
        return figure, f"Bars of its five likeliest permutations: the first has {first}, the true one {true}."

    def dealt(self):
        figure = plots.tiles(self.puzzle, DEALT, "the puzzle", WIDTH)
        return figure, f"A puzzle of {self.photo}: nine shuffled tiles, numbered 1 to 9 as dealt."

    def words(self, check=0, deal=0):
        count = len(self.permutations)
        if not self.answered:
            return (
                "Put the tiles in order. You choose among 9! = <b>362,880</b> orders, the network among the "
                f"<b>{count}</b> permutations that it knows: its chance is 1 in {count}." + self._score()
            )
        yours, its = (_result(results[-1]) for results in self.results.values())
        true = self.probabilities[self.label]
        rank = 1 + (self.probabilities > true).sum()
        return (
            f"It was <b>{html.escape(self.photo)}</b>. You have {yours}, the network has {its}. It gave the true "
            f"permutation {share(true)}, number {rank} of {count}; chance is 1 in {count}." + self._score()
        )

    def _score(self):
        """The score so far as a table, from the first answer on."""
        over = len(self.results["you"])
        if not over:
            return ""
        head = "<th scope='col'>player</th><th scope='col'>puzzles solved</th><th scope='col'>tiles in place</th>"
        rows = "".join(
            f"<tr><th scope='row'>{player}</th><td>{sum(bool(places.all()) for places in results)} of {over}</td>"
            f"<td>{np.sum(results)} of {9 * over}</td></tr>"
            for player, results in self.results.items()
        )
        style = "border-spacing: 16px 2px; margin: 6px 0 0 -16px; text-align: left"
        return f"<table style='{style}'><tr>{head}</tr>{rows}</table>"


def _hidden():
    """The picture in the place of the network's answer until the reader has checked theirs; drawn once."""
    grey = np.full((9, jigsaw.TILE, jigsaw.TILE, 3), 228, np.uint8)
    figure = plots.tiles(grey, ["?"] * 9, "the network's answer", WIDTH)
    return img(figure, "The network's answer: nine grey tiles until you have checked yours.")


def _result(places):
    return "all nine tiles in place" if places.all() else f"{places.sum()} of 9"
