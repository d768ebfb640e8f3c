#!/usr/bin/env python3
"""Exit with an error if an executed notebook holds one: python scripts/notebook_errors.py build/*.ipynb

A cell that fails stops nbconvert. An exception inside a widget's callback does not: ipywidgets prints it into
the widget's Output area, and the only trace is an `output_type: error` (or a traceback on stderr) in the
notebook's `metadata.widgets` state. Both places are searched here.
"""

import json
import pathlib
import sys


def errors(notebook):
    """Lines "where: error" of every error output in `notebook` (nbformat 4, as a dict), cells and widget state."""
    places = [(f"cell {number}", cell.get("outputs", [])) for number, cell in enumerate(notebook["cells"], 1)]
    widgets = notebook["metadata"].get("widgets", {}).values()
    if any("state" not in of_kind for of_kind in widgets):
        return ['metadata.widgets: no "state", which makes it an Invalid Notebook on GitHub']
    for state in widgets:
        places += [
            (f"widget {name}", model["state"].get("outputs", []))
            for name, model in state["state"].items()
            if model["model_name"] == "OutputModel"
        ]
    found = []
    for place, outputs in places:
        for output in outputs:
            if output["output_type"] == "error":
                found.append(f"{place}: {output['ename']}: {output['evalue']}")
            elif output.get("name") == "stderr" and "Traceback (most recent call last)" in "".join(output["text"]):
                found.append(f"{place}: {''.join(output['text']).strip().splitlines()[-1]}")
    return found


if __name__ == "__main__":
    found = [
        f"{path}, {error}"
        for path in sys.argv[1:]
        for error in errors(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))
    ]
    sys.exit("\n".join(["[FAIL] Errors in the executed notebooks:", *found]) if found else 0)
