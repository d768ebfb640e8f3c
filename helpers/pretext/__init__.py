"""Trunks learnt from an archive of photographs: `python -m helpers.pretext`, a head for one, and how tiles cheat."""

import importlib


def __getattr__(name):
    """`cheating` and `puzzle_head`, imported when they are asked for: a command that runs must not be here before."""
    if name in ("cheating", "puzzle_head"):
        return importlib.import_module(f"helpers.pretext.{name}")
    raise AttributeError(f"helpers.pretext has no {name!r}")
