"""What the notebooks of the jigsaw course share: data, nets, the Caffe solver loop, figures."""

import os

# Each is read once, when the library is first imported, so they are set before any helper imports it.
os.environ.setdefault("GLOG_minloglevel", "2")  # Caffe: errors only
os.environ.setdefault("KERAS_BACKEND", "jax")
# Caffe multiplies image by image, matrices too small for a second thread to help: one is as fast, and repeatable.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
