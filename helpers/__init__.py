"""What the notebooks of the jigsaw course share: data, nets, the Caffe solver loop, figures."""

import os

# Both are read once, when the library is first imported, so they are set before any helper imports it.
os.environ.setdefault("GLOG_minloglevel", "2")  # Caffe: errors only
os.environ.setdefault("KERAS_BACKEND", "jax")
