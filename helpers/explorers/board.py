"""A board of nine tiles that a reader rearranges by mouse, by finger or by keyboard."""

import base64
import io
import pathlib

import anywidget
import traitlets
from PIL import Image

DEALT = list(range(1, 10))  # the order in which a puzzle is dealt: tile i at position i


class Board(anywidget.AnyWidget):
    """The tiles of a puzzle in three rows of three; two at a time change places.

    value: nine integers 1..9. At position i lies tile value[i] of the puzzle, both counted from the top left, so that
        jigsaw.shuffle_tiles(puzzle, value) is what is seen. Raises TraitError for what is no permutation.
    marks: nine booleans, whether the tile at position i is right. They are shown, and no tile moves any more; while a
        puzzle is being solved there are none.
    """

    _esm = pathlib.Path(__file__).with_name("board.js")
    _css = pathlib.Path(__file__).with_name("board.css")
    value = traitlets.List(traitlets.Int(), DEALT).tag(sync=True)
    marks = traitlets.List(traitlets.Bool()).tag(sync=True)
    pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)

    @traitlets.validate("value")
    def _permutation(self, proposal):
        if sorted(proposal["value"]) != DEALT:
            raise traitlets.TraitError(f"{proposal['value']} is not an order of nine tiles: it needs each of 1..9 once")
        return proposal["value"]

    def deal(self, puzzle):
        """Lay out a new puzzle, uint8 (9, t, t, 3), its tiles in the order they come in."""
        with self.hold_sync():
            self.pictures = [_address(tile) for tile in puzzle]
            self.value, self.marks = DEALT, []


def _address(tile):
    """A picture uint8 (t, t, 3) as a data: address."""
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
