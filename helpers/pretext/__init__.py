"""Trunks learnt from an archive of photographs: `python -m helpers.pretext`, a head for one, and how tiles cheat."""
