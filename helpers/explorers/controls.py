"""An explorer: controls above pictures that follow them, and the same pictures where no kernel runs.

Plain ipywidgets, in what versions 7 and 8 have in common. What a student can click on has a keyboard's way, too.
"""

import functools
import gc
import inspect
import pathlib
import uuid

import anywidget
import traitlets
from IPython.display import display
from ipywidgets import (
    HTML,
    Box,
    Button,
    Checkbox,
    Dropdown,
    FileUpload,
    IntSlider,
    Layout,
    Output,
    SelectionSlider,
    VBox,
)

from helpers.explorers import still

WITHOUT_KERNEL = "(The controls appear when this notebook runs, in JupyterLab or Colab.)"
WORDS = {"description_width": "initial"}  # as wide as they are


class Clicks(anywidget.AnyWidget):
    """Reports [name, x, y] when an image in an element of class clicks-<name> is clicked; x, y are shares of its size.

    It shows nothing itself, and explorers work without it: where its JavaScript cannot be loaded, only the mouse's
    short cut is lost. One serves all explorers of a notebook; its view lies beside each, since on Colab the page of a
    cell is that cell's own.
    """

    _esm = pathlib.Path(__file__).with_name("clicks.js")
    click = traitlets.List().tag(sync=True)


@functools.cache
def clicks():
    """The notebook's one Clicks."""
    return Clicks()


class Explorer(VBox):
    """Controls above pictures.

    controls: {name: widget}. Each name is a parameter of those panels that depend on it.
    panels: functions whose parameters are names of controls; each returns (Figure, alt text), or a str, words in HTML.
        A panel is drawn again when one of its own controls changes.
    adjust: called with the name of the changed control before anything is drawn; it may set other controls.
    clicked: (panel function, handler): a click on that panel's picture calls handler(across, down), the shares of its
        width and height.
    twin: panels without parameters, drawn instead of the others for readers without a kernel.
    travels: {name of a control: values} that those readers can choose from, see still.page.
    caption: what it shows, in a sentence or two.

    Controls are children of the box `above`, pictures (`views`, by panel) of the box `below`; either can be given
    others. An exception in a callback is shown under the controls, where an executed notebook keeps it for
    scripts/notebook_errors.py; without a notebook it is raised as usual.
    """

    def __init__(self, controls, panels, caption, adjust=lambda name: None, clicked=None, twin=(), travels=None):
        self.controls, self.panels = controls, {panel.__name__: panel for panel in panels}
        self.twin, self.travels, self.adjust, self.caption = twin, travels or {}, adjust, caption
        self.views = {name: HTML(layout=Layout(max_width="100%", margin="0 12px 8px 0")) for name in self.panels}
        self._drawn, self._busy = {}, False
        self.name = uuid.uuid4().hex  # in CSS classes, which are the whole page's
        self.trouble = Output()
        wrap = Layout(display="flex", flex_flow="row wrap", align_items="flex-start", max_width="100%")
        hide_twin = HTML(
            f"<style>.twin-{self.name} {{ display: none !important }}</style>", layout=Layout(display="none")
        )
        self.above = Box(list(controls.values()), layout=wrap)
        self.below = Box(list(self.views.values()), layout=wrap)
        super().__init__([self.above, self.trouble, self.below, hide_twin])
        self.draw()
        for name, control in controls.items():
            control.observe(lambda change, name=name: self._react(self.adjust, name), "value")
        self.clicks = self._listen(*clicked) if clicked else None
        settle()

    def draw(self):
        """Draw the panels whose controls have other values than when they were drawn last."""
        for name, panel in self.panels.items():
            values = {control: self.controls[control].value for control in inspect.signature(panel).parameters}
            if self._drawn.get(name) == values:
                continue
            self.views[name].value = still.as_html(panel(**values), "svg")
            self._drawn[name] = values

    def _react(self, act, *arguments):
        """Do what a control or a click asks for and draw once, whatever other controls that sets."""
        if self._busy:
            return
        self._busy = True
        try:
            if self.trouble.outputs:
                self.trouble.outputs = ()
            with self.trouble:
                act(*arguments)
                self.draw()
        finally:
            self._busy = False

    def _listen(self, panel, handler):
        self.views[panel.__name__].add_class(f"clicks-{self.name}")

        def picked(change):
            name, across, down = change["new"]
            if name == self.name:
                self._react(handler, across, down)

        clicks().observe(picked, "click")
        return clicks()

    def still(self):
        """The explorer as HTML for a page without a kernel, see still.page."""
        self._busy = True  # no control draws while it goes through the states
        try:
            panels = self.twin or self.panels.values()
            return still.page(self.name, panels, self.caption, self.controls, self.travels, self.adjust)
        finally:
            self._busy = False

    def _ipython_display_(self):
        """Show the pictures as they are, for readers without a kernel, then the widget, which hides them."""
        display({"text/html": self.still(), "text/plain": WITHOUT_KERNEL}, raw=True)
        for widget in filter(None, (self, self.clicks)):
            view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
            display({"application/vnd.jupyter.widget-view+json": view, "text/plain": WITHOUT_KERNEL}, raw=True)


def settle():
    """Have Python's garbage collector leave alone what lives by now.

    Every few pictures it looks at all of a notebook's objects, which takes as long as a picture, in the midst of a
    move. Afterwards it looks at what has come since; the next call looks at everything once more.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Press(Button):
    """A Button whose value is how often it was pressed, so that panels can depend on it."""

    value = traitlets.Int(0)

    def __init__(self, words):
        super().__init__(description=words, layout=_layout("auto"))
        self.on_click(lambda button: self.set_trait("value", self.value + 1))


def slider(words, value, low, high):
    """An IntSlider."""
    return IntSlider(value, low, high, description=words, style=WORDS, layout=_track(words))


def stops(words, options, value=None):
    """A SelectionSlider of (words, value) pairs or plain values; the first where `value` is None."""
    value = {} if value is None else {"value": value}
    return SelectionSlider(options=options, description=words, style=WORDS, layout=_track(words), **value)


def choice(words, options, value=None):
    """A Dropdown of (words, value) pairs or plain values; the first where `value` is None."""
    value = {} if value is None else {"value": value}
    return Dropdown(options=options, description=words, style=WORDS, layout=_layout("auto"), **value)


def tick(words, value=False):
    """A Checkbox."""
    return Checkbox(value, description=words, indent=False, layout=_layout("auto"))


def upload(words):
    """A FileUpload of one picture; `uploaded` reads its value."""
    return FileUpload(accept="image/*", multiple=False, description=words, layout=_layout("auto"))


def uploaded(value):
    """(bytes, name) of the file in a FileUpload's value, which ipywidgets 7 gives as {name: file} and 8 as (file,)."""
    if isinstance(value, dict):
        ((name, file),) = value.items()
    else:
        (file,) = value
        name = file["name"]
    return bytes(file["content"]), name


def _track(words):
    """The layout of a slider: every track has the same length, whatever stands before it."""
    return _layout(f"{14.5 + 0.53 * len(words):.1f}em")


def _layout(width):
    return Layout(width=width, max_width="100%", margin="2px 16px 2px 2px")
