"""What several test modules share."""

import os
import pathlib

os.environ["JIGSAW_THREADS"] = "1"  # tests run two at a time; whoever asks for more threads says so

import numpy as np
import pytest
from photographs import archive, image_bytes

import helpers  # noqa: F401  sets Caffe's log level before any test module imports caffe

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def shared_data():
    """The folder with the real CIFAR-100, Fruits-360 and photographs; not part of the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
    return folder


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """Every test has a runs folder of its own."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("JIGSAW_RUNS", str(folder))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """An archive of 41 small photographs, three of which are held out."""
    rng = np.random.default_rng(0)
    files = {
        f"photos/{i:05d}.png": image_bytes(rng.integers(0, 256, (60, 60 + i, 3), dtype=np.uint8)) for i in range(41)
    }
    return archive(tmp_path_factory.mktemp("archive") / "photos.zip", files)
