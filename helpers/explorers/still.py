"""What an explorer leaves on a page without a kernel: its pictures, and a few controls that choose among more of them.

The pictures of each state are drawn when the explorer is shown, and lie in the page; still.js changes them.
"""

import html
import inspect
import itertools
import json
import pathlib

from ipywidgets import IntSlider, SelectionSlider

from helpers.plots import style

SCRIPT = pathlib.Path(__file__).with_name("still.js").read_text(encoding="utf-8")
STILL = "A picture; its controls appear when the notebook runs, in JupyterLab or Colab."
SOME = "These controls choose among pictures drawn beforehand; all of them appear when the notebook runs."
ROW = "display: flex; flex-flow: row wrap; gap: 4px 24px"


def as_html(shown, form="png"):
    """What a panel returns, (Figure, alt text) or words in HTML, as HTML; form as in style.img."""
    if isinstance(shown, str):
        return f'<div aria-live="polite" style="line-height: 1.45; max-width: 60em">{shown}</div>'
    figure, alt = shown
    return style.img(figure, alt, form)


def page(name, panels, caption, controls, travels, adjust):
    """An explorer without its kernel as HTML, in an element of class twin-<name> that carries the caption as data.

    panels, controls: as Explorer has them. travels: {name of a control: values}; each combination of them is a state
    whose pictures go with the page. adjust(name) is called for each control that is set, as when a reader sets it.
    Every control has its value back afterwards.
    """
    before = {name: control.value for name, control in controls.items()}
    pictures, known, states, words = [[] for _ in panels], {}, {}, {name: {} for name in travels}
    for chosen in itertools.product(*travels.values()):
        for control, value in zip(travels, chosen):
            controls[control].value = value
            adjust(control)
            words[control][value] = _in_words(controls[control])
        numbers = []
        for panel, drawn in zip(panels, pictures):
            values = {control: controls[control].value for control in inspect.signature(panel).parameters}
            key = panel.__name__, repr(values)
            if key not in known:
                known[key] = len(drawn)
                drawn.append(as_html(panel(**values), "webp" if travels else "png"))
            numbers.append(known[key])
        states[chosen] = numbers
    for control in (*travels, *before):
        if controls[control].value != before[control]:  # an upload's cannot be set
            controls[control].value = before[control]
        if control in travels:
            adjust(control)
    start = tuple(before[control] for control in travels)
    shown = "".join(
        f'<div data-panel data-shows="{number}" style="margin: 0 0 8px; max-width: 100%">{drawn[number]}</div>'
        for drawn, number in zip(pictures, states[start])
    )
    for drawn, number in zip(pictures, states[start]):
        drawn[number] = None  # it is on the page
    form = "".join(_control(controls[one], list(words[one].values()), words[one][before[one]]) for one in travels)
    moving = f'<form hidden style="{ROW}; margin-bottom: 8px">{form}</form>' if travels else ""
    return (
        f'<div class="twin-{name}" data-caption="{html.escape(caption)}">{moving}<div style="{ROW}">{shown}</div>'
        f"<p><small>{SOME if travels else STILL}</small></p>{_script(pictures, states) if travels else ''}</div>"
    )


def _in_words(control):
    """What a control says of the value that it has."""
    value = getattr(control, "label", control.value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _control(control, words, chosen):
    """A control as HTML: what is a slider stays one."""
    name, words, chosen = html.escape(control.description), [html.escape(one) for one in words], html.escape(chosen)
    if not isinstance(control, (IntSlider, SelectionSlider)):
        options = "".join(f"<option{' selected' if one == chosen else ''}>{one}</option>" for one in words)
        return f"<label>{name} <select>{options}</select></label>"
    return (
        f'<label>{name} <input type="range" min="0" max="{len(words) - 1}" value="{words.index(chosen)}" '
        f"data-words='{html.escape(json.dumps(words))}' aria-valuetext=\"{chosen}\"> <output>{chosen}</output></label>"
    )


def _script(pictures, states):
    data = json.dumps({"panels": pictures, "states": list(states.values())}).replace("</", r"<\/")
    return f'<script type="application/json">{data}</script><script>{SCRIPT}</script>'
