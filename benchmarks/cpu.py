"""The course on this machine's cores, beside what one would write instead. `make bench` writes benchmarks/cpu.md.

Contenders: the loop that a pycaffe user writes, the course's helpers, Keras on JAX, PyTorch plain, with channels last,
compiled, with both, and so in bfloat16; for features onnxruntime and OpenVINO, too. Ratios are against the fastest peer
of the same precision: for each task, the one that won it.
Each is a process of its own; in a round every one of them has its turn, so that what else the machine does meets all.
A number is the median of the rounds. Images are noise of CIFAR-100's shapes after resizing, (3, 64, 64), batch 128, the
branch at full width with 100 classes.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv

from contender import CLASSES, same
from contender_cfn import PUZZLES

from helpers import limits, recipes

HERE = pathlib.Path(__file__).resolve().parent
TORCH = "torch==2.13.0"
RUNTIMES = ("onnxruntime==1.32.0", "openvino==2026.4.1")
NAMES = {
    "naive": "naive pycaffe loop",
    "ours": "ours",
    "keras": "Keras (JAX)",
    "torch": "PyTorch, plain",
    "channels_last": "PyTorch, channels last",
    "compile": "PyTorch, compiled",
    "channels_last compile": "PyTorch, channels last and compiled",
    "channels_last bfloat16": "PyTorch, bfloat16, channels last",
    "channels_last compile bfloat16": "PyTorch, bfloat16, channels last and compiled",
    "onnxruntime": "onnxruntime",
    "openvino float32": "OpenVINO, float32",
    "openvino": "OpenVINO as it comes",
}
PYTORCH = [name for name, label in NAMES.items() if label.startswith("PyTorch")]
READERS = [name for name in NAMES if name.startswith(("onnxruntime", "openvino"))]  # features alone
VECTOR_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")  # flags of /proc/cpuinfo
VALIDATION, TEST = round(50_000 * recipes.VALIDATION_FRACTION), 10_000  # of CIFAR-100's images
TRAINING = 50_000 - VALIDATION
HEAD_EPOCHS, FINE_TUNE_EPOCHS = (  # that the report ran
    recipe.reported_epochs for recipe in (recipes.CIFAR100_LAST_LAYER, recipes.CIFAR100_FINE_TUNE)
)
SLOW = 50  # images a second; a slower contender has one round with few images
STEADY = 8_192  # images in one call: near the rate at which CIFAR-100's 60,000 are computed


def torch_python():
    """The Python of an environment with PyTorch, made once, in the cache: the course itself does not need it."""
    cache = pathlib.Path(os.environ.get("JIGSAW_CACHE") or "~/.cache/jigsaw-course").expanduser()
    home = cache / "venvs" / f"bench-{'-'.join((TORCH, *RUNTIMES))}-{platform.python_version()}"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        print(f"Installing {TORCH}, {', '.join(RUNTIMES)} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH, *RUNTIMES, "numpy"], check=True)
        (home / "ready").touch()
    return python


def environment():
    """This process's variables without the one BLAS thread that the helpers set: who wants other than a library's
    default says so."""
    return {
        name: value for name, value in os.environ.items() if name not in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    }


class Contender:
    """A process that runs benchmarks/contender_<name>.py and times what it is asked for."""

    def __init__(self, script, *words, python=sys.executable):
        self.process = subprocess.Popen(
            [python, HERE / f"contender_{script}.py", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment() | {"PYTHONPATH": str(HERE.parent), "GLOG_minloglevel": "2"},
        )

    def ready(self):
        self.process.stdout.readline()
        return self

    def ask(self, task, *arguments):
        """What the contender answers: seconds, unless the task says otherwise."""
        self.process.stdin.write(json.dumps([task, *arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args[1]} ended while it did {task}{arguments}; its error is above")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rates(contenders, task, images, rounds):
    """{name: [images a second, one per round]} of those contenders that know the task, taking turns."""
    sizes = {}
    for name, contender in contenders.items():
        speed = 16 / min(contender.ask(task, 16), contender.ask(task, 16))  # also warms up
        if speed >= SLOW:
            contender.ask(task, 128)  # of the batch that will be measured: Keras compiles for it
        sizes[name] = images if speed >= SLOW else 16
    found = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            if sizes[name] == images or not number:
                found[name].append(sizes[name] / contender.ask(task, sizes[name]))
    return found


def steady(contenders, rounds):
    """{name: [images a second, one per round]} of STEADY images: scripts go on and on, ours gets them in one call."""
    contenders["ours"].ask("many", STEADY)  # makes them
    for name in [name for name, each in contenders.items() if STEADY * each.ask("forward", 16) / 16 > 60]:
        del contenders[name]  # more than a minute a call
    found = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(STEADY / contender.ask("at_once" if name == "ours" else "forward", STEADY))
    return found


def differences(contenders):
    """{name: largest difference of its pool5 from ours, as a share of our largest activation}: do all compute the same?

    Every contender is given the same convolutions and images.
    """
    pool5 = {name: each.ask("pool5") for name, each in contenders.items()}
    ours = pool5.pop("ours")
    return {name: max(abs(a - b) for a, b in zip(theirs, ours)) / max(ours) for name, theirs in pool5.items()}


def write_branch(path):
    """The branch up to pool5 as an ONNX file, with the weights of contender.same."""
    from helpers import export, nets, weights

    net = nets.branch(CLASSES)
    layers = weights.of(nets.instantiate(net)) | dict(zip(nets.CONVOLUTIONS, same()[0]))
    export.to_onnx(net, layers, path, ["pool5_s1"])


def bfloat16(name):
    """Whether a contender may compute in bfloat16 on this machine."""
    return "bfloat16" in name or name == "openvino" and {"avx512_bf16", "amx_bf16"} & set(vector_units())


def vector_units():
    words = pathlib.Path("/proc/cpuinfo").read_text().split()
    return [unit for unit in VECTOR_UNITS if unit in words]


def gemm_peak(rounds):
    """GFLOP/s of all cores on one large float32 product, the best of `rounds`: what the machine can do."""
    code = (
        "import numpy as np, time\n"
        "a = np.ones((3072, 3072), np.float32); a @ a\n"
        f"for _ in range({rounds}):\n"
        "    t = time.perf_counter(); a @ a; print(2 * 3072**3 / (time.perf_counter() - t) / 1e9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    return max(map(float, done.stdout.split()))


def flops():
    """(forward, training) floating-point operations of one image: two per multiplication of conv1 to conv5 and fc6."""
    from helpers import nets

    net = nets.instantiate(nets.branch(100, batch_size=1))
    products = {}
    for name, blobs in net.params.items():
        weights, positions = blobs[0].data, net.blobs[name].data[0, 0].size if name != "fc6" else 1
        products[name] = 2 * weights.size * positions
    forward = sum(products.values())
    return forward, 3 * forward - products["conv1_s1"]  # nothing needs the gradient of the image


def table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def minutes(seconds):
    return f"{seconds / 60:,.1f} min" if seconds >= 90 else f"{seconds:,.1f} s"


def ratio(rates, name, other):
    """How many times as fast `name` is as `other`, in words."""
    return f"{rates[name] / rates[other]:.2f}" if math.isfinite(rates.get(other, math.inf)) else ""


def in_bfloat16(middle, best):
    """Lines of the report: where a peer that computes in bfloat16 stands against ours, which does not."""
    found = [
        f"{what} {NAMES[best[task]]} {middle[task][best[task]]:,.0f}, "
        f"ours {ratio(middle[task], 'ours', best[task])} times that"
        for task, what in (("steady", "features"), ("train", "training"))
        if best.get(task)
    ]
    return [f"The fastest in bfloat16, images a second: {'; '.join(found)}.", ""] if found else []


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def measure(options):
    """All that is measured: {section: ...}, JSON values."""
    python, branch = torch_python(), pathlib.Path(tempfile.mkdtemp()) / "branch.onnx"
    write_branch(branch)
    contenders = {
        "naive": Contender("naive"),
        "ours": Contender("ours"),
        "keras": Contender("keras"),
        "torch": Contender("torch", python=python),
        **{name: Contender("torch", *name.split(), python=python) for name in PYTORCH[1:]},
        **{name: Contender("onnx", branch, *name.split(), python=python) for name in READERS},
    }
    for contender in contenders.values():
        contender.ready()
    trains = {name: each for name, each in contenders.items() if name not in READERS}
    others = {name: each for name, each in trains.items() if name != "ours"}
    ours = contenders["ours"]
    found = {
        "differences": differences(contenders),
        "peak": gemm_peak(options.rounds),
        "forward": rates(contenders, "forward", options.images, options.rounds),
        "steady": steady({name: contenders[name] for name in ("ours", *PYTORCH, *READERS)}, min(3, options.rounds)),
        "train": rates(trains, "train", options.images, options.rounds),
        "frozen": rates(others, "frozen", options.images, options.rounds),
        "head": rates({"ours": ours}, "head", 16 * options.images, options.rounds)["ours"],
    }
    cores = limits.cores()
    found["cores"] = {
        count: {
            task: statistics.median(options.images / ours.ask(task, options.images, count) for _ in range(3))
            for task in ("forward", "train")
        }
        for count in sorted({1, *(2**n for n in range(1, 10) if 2**n <= cores), cores})
    }
    found["sizes"] = {
        count: [count / ours.ask("forward", count) for _ in range(2)]
        for count in (options.images, 2 * options.images, 4 * options.images)
    }
    for contender in contenders.values():
        contender.close()
    cfn = {
        name: Contender("cfn", name, python=python if name == "torch" else sys.executable) for name in ("ours", "torch")
    }
    for contender in cfn.values():
        contender.ready().ask("step")  # also warms up
    found["cfn"] = {name: [] for name in cfn}
    for _ in range(3):
        for name, contender in cfn.items():
            found["cfn"][name].append(PUZZLES / contender.ask("step"))
    for contender in cfn.values():
        contender.close()
    memory = Contender("memory").ready()
    found["memory"] = memory.ask("peaks")
    memory.close()
    return found


def report(found, options, seconds):
    """cpu.md of what was measured."""
    from helpers.training import run_folder

    made = run_folder.provenance()
    middle = {
        task: {name: statistics.median(values) for name, values in found[task].items()}
        for task in ("forward", "steady", "train", "frozen")
    }
    peers = {*PYTORCH, *READERS}
    best, best_half = (
        {
            task: max(
                [name for name in found_ if name in peers and bool(bfloat16(name)) == half],
                key=found_.get,
                default=None,
            )
            for task, found_ in middle.items()
        }
        for half in (False, True)
    )
    forward, training = flops()
    throughput = [
        [
            label,
            f"{middle['forward'][name]:,.0f}",
            spread(found["forward"][name]),
            ratio(middle["forward"], name, best["forward"]),
            *(
                [
                    f"{middle['train'][name]:,.0f}",
                    spread(found["train"][name]),
                    ratio(middle["train"], name, "naive"),
                    ratio(middle["train"], name, best["train"]),
                    f"{middle['train'][name] * training / found['peak'] / 1e9:.0%}",
                ]
                if name in middle["train"]
                else [""] * 5
            ),
        ]
        for name, label in NAMES.items()
    ]
    everything = TRAINING + VALIDATION
    once = (everything + TEST) / middle["steady"]["ours"]
    head_epoch = TRAINING / statistics.median(found["head"])
    head = once + HEAD_EPOCHS * head_epoch
    frozen = {
        name: HEAD_EPOCHS * (TRAINING / middle["frozen"][name] + VALIDATION / middle["forward"][name])
        for name in middle["frozen"]
    }
    tuned = {name: TRAINING / middle["train"][name] + VALIDATION / middle["forward"][name] for name in middle["train"]}
    study = head + FINE_TUNE_EPOCHS * tuned["ours"]
    theirs = frozen["torch"] + FINE_TUNE_EPOCHS * tuned["torch"]
    peak = max(held for held, _ in found["memory"].values())
    one = found["cores"][min(found["cores"], key=int)]
    against = {task: middle[task]["ours"] / middle[task][best[task]] for task in ("steady", "train")}
    targets = [
        ("training against the naive pycaffe loop", middle["train"]["ours"] / middle["train"]["naive"], 1.9, "x"),
        (f"training against {NAMES[best['train']]}", against["train"], 1.6, "x"),
        (f"features, {STEADY:,} images a call, against {NAMES[best['steady']]}", against["steady"], 1.25, "x"),
        ("last layer against recomputing, naive pycaffe", frozen["naive"] / head, 40, "x"),
        (f"last layer against recomputing, {NAMES[best['frozen']]}", frozen[best["frozen"]] / head, 45, "x"),
        ("whole study against the plain PyTorch script", theirs / study, 3.5, "x"),
    ]
    cfn = {"ours": statistics.median(found["cfn"]["ours"]), "channels_last": statistics.median(found["cfn"]["torch"])}
    lines = [
        "# On CPU cores, side by side",
        "",
        f"Written by `make bench` on {made['date']}, commit {made['commit']}: {machine()}, Python {made['python']}, "
        f"Caffe {made['caffe']}, {', '.join((TORCH, *RUNTIMES)).replace('==', ' ')}; "
        f"{options.rounds} rounds of {options.images} images, "
        f"{minutes(seconds)} in all. Large float32 matrix product on all cores: {found['peak']:,.0f} GFLOP/s.",
        "",
        "## Throughput of the branch, images a second",
        "",
        table(
            [
                "",
                "forward",
                "rounds",
                "best float32 peer = 1",
                "training",
                "rounds",
                "naive = 1",
                "best float32 peer = 1",
                "share of the matrix product's speed",
            ],
            throughput,
        ),
        "",
        f"Forward ends at pool5. An image is {forward / 1e6:,.0f} MFLOP forward, {training / 1e6:,.0f} in training, as "
        "the direct form of convolution counts them; Winograd's, which ours uses for 3x3 and 5x5, needs fewer. "
        f"A contender slower than {SLOW} images a second had one round of 16 images. From the same weights and images, "
        "pool5 differs from ours by at most "
        + ", ".join(f"{share:.0e} ({NAMES[name]})" for name, share in found["differences"].items())
        + " of its largest value.",
        "",
        table(
            [f"features, {STEADY:,} images in one call", "images a second", "best float32 peer = 1"],
            [
                [NAMES[name], f"{rate:,.0f}", ratio(middle["steady"], name, best["steady"])]
                for name, rate in middle["steady"].items()
            ],
        ),
        "",
        *in_bfloat16(middle, best_half),
        f"## The CFN with BatchNorm, {PUZZLES} puzzles a batch, whole width",
        "",
        table(
            ["", "puzzles a second", "rounds", "PyTorch = 1"],
            [
                [
                    NAMES[name],
                    f"{cfn[name]:,.1f}",
                    " ".join(f"{rate:.1f}" for rate in found["cfn"][each]),
                    ratio(cfn, name, "channels_last"),
                ]
                for name, each in (("ours", "ours"), ("channels_last", "torch"))
            ],
        ),
        "",
        f"## Last layer: {HEAD_EPOCHS} epochs on {TRAINING:,} images",
        "",
        table(
            ["", "time", "ours is faster by"],
            [["ours: features once, then fc6 alone", minutes(head), "1"]]
            + [
                [f"{NAMES[name]}, frozen trunk computed in every epoch", minutes(time_), f"{time_ / head:,.0f}"]
                for name, time_ in frozen.items()
            ],
        ),
        "",
        f"Scaled up: ours from the rate of a long call ({minutes(once)} for {everything + TEST:,} images, once) and "
        f"from fc6's own rate on cached features ({head_epoch:,.2f} s an epoch); the others from "
        f"{options.rounds} x {options.images} images.",
        "",
        f"## One epoch of fine-tuning: {TRAINING:,} images, and {VALIDATION:,} to validate",
        "",
        table(
            ["", "time", "naive = 1"],
            [[NAMES[name], minutes(time_), f"{tuned['naive'] / time_:.2f}"] for name, time_ in tuned.items()],
        ),
        "",
        f"Scaled up from the rates above. The whole study (last layer, then {FINE_TUNE_EPOCHS} epochs of fine-tuning): "
        f"ours {minutes(study)}, the plain PyTorch script {minutes(theirs)}.",
        "",
        "## Scaling and memory",
        "",
        table(
            ["threads", "forward, images/s", "", "training, images/s", ""],
            [
                [
                    count,
                    f"{row['forward']:,.0f}",
                    f"x {row['forward'] / one['forward']:.2f}",
                    f"{row['train']:,.0f}",
                    f"x {row['train'] / one['train']:.2f}",
                ]
                for count, row in found["cores"].items()
            ],
        ),
        "",
        table(
            ["images at a time", "forward, images/s"],
            [[f"{int(count):,}", f"{statistics.median(values):,.0f}"] for count, values in found["sizes"].items()],
        ),
        "",
        table(
            ["peak memory on CIFAR-100's sizes", "GB", "of which files' pages, which the system may drop"],
            [[stage, *(f"{size / 1e9:.2f}" for size in sizes)] for stage, sizes in found["memory"].items()],
        ),
        "",
        "## Targets",
        "",
        table(
            ["", "target", "measured", ""],
            [
                *[
                    [what, f"at least {target} {unit}", f"{value:,.2f} {unit}", "met" if value >= target else "missed"]
                    for what, value, target, unit in targets
                ],
                ["peak memory", "at most 1.2 GB", f"{peak / 1e9:.2f} GB", "met" if peak <= 1.2e9 else "missed"],
            ],
        ),
        "",
    ]
    return "\n".join(lines)


def machine():
    """The processor's name and how many cores of it may be used."""
    names = [
        line.split(":")[1].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.machine()} ({', '.join(vector_units())}), {limits.cores()} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512, help="per round (default 512)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", type=pathlib.Path, default=HERE / "cpu.md")
    options = parser.parse_args()
    start = time.perf_counter()
    found = measure(options)
    options.table.with_suffix(".json").write_text(json.dumps(found, indent=1))
    options.table.write_text(report(found, options, time.perf_counter() - start))
    print(options.table.read_text())


if __name__ == "__main__":
    main()
