"""The benchmark's contenders compute the same: pool5 of the same images from the same weights."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import cpu


@pytest.fixture
def contenders():
    started = {name: cpu.Contender(name) for name in ("naive", "ours", "keras")}
    yield {name: contender.ready() for name, contender in started.items()}
    for contender in started.values():
        contender.close()


def test_contenders_compute_the_same_features(contenders):
    found = cpu.differences(contenders)
    assert set(found) == {"naive", "keras"} and max(found.values()) < 1e-5
