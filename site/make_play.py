"""The page on which the network plays in the visitor's browser: the shipped trunk and head as ONNX, and what runs them.

onnxruntime-web comes from npm once, is checked and kept in the course's cache; the site serves it itself.
"""

import base64
import gzip
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from PIL import Image

from helpers import course, data, jigsaw, weights
from helpers.export import to_onnx
from helpers.pretext import puzzle_head

HERE = pathlib.Path(__file__).parent
RUNTIME = "onnxruntime-web-1.22.0.tgz"
INTEGRITY = "sha512-Ud/+EBo6mhuaQWt/OjaOk0iNWjXqJoeeMFr6xQEERZdIZH2OWpGzuujz7lfuOBjUa6TEE/sc4nb7Da5dNL34fg=="
BACKEND = "ort-wasm-simd-threaded"  # which onnxruntime-web looks for beside itself
SHORT_SIDE = 300  # pixels, of the photographs on the page: nine cells of 85, and room to cut elsewhere
BLOBS = ("conv1_s1", "conv2_s1", "conv3_s1", "conv4_s1", "conv5_s1", "pool5_s1")
CREDIT = (
    "Photographs: scikit-image's (CC0 and public domain) and, of scikit-learn's, china by danielbuechele and flower by "
    "vultilion (CC BY 2.0)."
)


def available():
    """Whether onnxruntime-web can be had; says why where it cannot: no npm, no network."""
    try:
        runtime()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"onnxruntime-web cannot be had, and without it no network plays on the site: {error}")
        return False
    return True


def runtime():
    """The path of onnxruntime-web's package, from the cache or from npm. Raises ValueError for any other content."""
    path = course.cache_folder() / RUNTIME
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            name, _, version = RUNTIME.removesuffix(".tgz").rpartition("-")
            subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True, timeout=300)
            course.write_atomically(path, pathlib.Path(folder, RUNTIME).read_bytes())
    found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != INTEGRITY:
        raise ValueError(f"{path} has the checksum {found}, not {INTEGRITY}; delete it to fetch it again")
    return path


def half(path):
    """Store the weights of an ONNX file in 16 bits; it computes in float32 as before.

    (In 8 bits with a scale per channel it solved as many puzzles, but gave 2 of 200 another answer than Caffe.)
    """
    model = onnx.load(path)
    graph = model.graph
    large = {node.input[1] for node in graph.node if node.op_type in ("Conv", "Gemm")}
    for constant in [one for one in graph.initializer if one.name in large]:
        values = numpy_helper.to_array(constant).astype(np.float16)
        graph.initializer.remove(constant)
        graph.initializer.append(numpy_helper.from_array(values, f"{constant.name}.half"))
        cast = helper.make_node("Cast", [f"{constant.name}.half"], [constant.name], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)
    onnx.save(model, path)


def solved(path, puzzles, labels):
    """Share of puzzles that an ONNX file solves, in [0, 1]."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts = np.array_split(jigsaw.to_caffe(puzzles), max(1, len(puzzles) // 20))
    scores = np.concatenate([session.run(["fc8"], {"data": part})[0] for part in parts])
    return float((scores.argmax(axis=1) == labels).mean())


def make(folder):
    """Fill `folder` with what the page loads; returns the words that say what it is and how exact."""
    folder.mkdir(parents=True)
    with tarfile.open(runtime()) as package:
        for name in ("ort.wasm.min.mjs", f"{BACKEND}.mjs"):
            (folder / name).write_bytes(package.extractfile(f"package/dist/{name}").read())
        content = package.extractfile(f"package/dist/{BACKEND}.wasm").read()
        (folder / f"{BACKEND}.wasm.gz").write_bytes(gzip.compress(content, mtime=0))
    solver = folder / "solver.onnx"
    to_onnx(puzzle_head.whole(), weights.of(puzzle_head.load()), solver, ["fc8", *BLOBS])
    shown = puzzle_head.shown()
    exact = solved(solver, *shown)
    half(solver)
    rounded = solved(solver, *shown)
    names = []
    for name, photo in data.load_photos().items():
        small = Image.fromarray(data.resize_short_side(photo, SHORT_SIDE))
        small.save(folder / f"{name}.webp", quality=85, method=6)
        names.append(name)
    facts = {"photos": names, "permutations": puzzle_head.permutations().tolist(), "blobs": BLOBS}
    (folder / "play.json").write_text(json.dumps(facts), encoding="utf-8")
    explorers = course.ROOT / "helpers" / "explorers"
    for path in (explorers / "board.js", explorers / "board.css", HERE / "static" / "play.js"):
        shutil.copy(path, folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return (
        f"It loads {size:.1f} MB: the network with weights of 16 bits, the runtime, ten photographs. "
        f"Of {len(shown[1])} puzzles of these photographs, which it was never trained on, it solves {rounded:.1%}; "
        f"with weights of 32 bits, as in Caffe, {exact:.1%}. {CREDIT}"
    )


def page(words):
    """The page's Markdown. words: what `make` says, with the size in it."""
    size = re.search(r"([\d.]+) MB", words)[1]
    return (HERE / "play.md").read_text(encoding="utf-8").replace("WORDS", words).replace("SIZE", size)
