"""What the notebooks of the jigsaw course share: data, nets, the Caffe solver loop, figures."""

import importlib.metadata
import os
import pathlib
import sys

# Each is read once, when the library is first imported, so they are set before any helper imports it.
os.environ.setdefault("GLOG_minloglevel", "2")  # Caffe: errors only
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "jax"  # an empty one is Keras' own default
# Our layers have threads of their own: a second pool beside theirs takes two to three times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "KERAS_HOME" in os.environ:  # Keras takes a `~` for a folder of that name
    os.environ["KERAS_HOME"] = os.path.expanduser(os.environ["KERAS_HOME"])


def _own_caffe_first():
    """Move folders of sys.path that hold another Caffe, named by PYTHONPATH perhaps, behind that of our wheel."""
    try:
        own = pathlib.Path(importlib.metadata.distribution("caffe-jigsaw").locate_file(""))
    except importlib.metadata.PackageNotFoundError:
        return
    others = [path for path in sys.path if (pathlib.Path(path) / "caffe").is_dir() and pathlib.Path(path) != own]
    if others:
        sys.path[:] = [path for path in sys.path if path not in others] + others


_own_caffe_first()
