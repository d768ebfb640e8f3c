"""Caffe against PyTorch on this machine's GPU: images a second, side by side, written to benchmarks/gpu.md.

    python benchmarks/gpu.py        (make gpu-check runs the GPU tests first)

Each row is the median of ROUNDS rounds; in a round every contender has its turn. PyTorch measures too how much of the
time the card computes: its profiler sees the kernels of the whole process, Caffe's included.
"""

import argparse
import datetime
import pathlib
import platform
import statistics
import subprocess
import time

import caffe
import numpy as np
import torch
from caffe.proto import caffe_pb2
from torch import nn
from torch.profiler import ProfilerActivity, profile

from helpers import course, nets, recipes, solver
from helpers.training import device, run_folder

BATCH, CLASSES, PERMUTATIONS, TILES = 128, 100, 100, 9
ROUNDS, WARM_UP = 5, 3
TABLE = pathlib.Path(__file__).with_name("gpu.md")


def torch_trunk(batch_norm=False):
    """conv1 to pool5 as in nets.branch; with batch_norm as in nets.stacked_cfn."""

    def convolution(inputs, outputs, kernel, **options):
        layers = [nn.Conv2d(inputs, outputs, kernel, **options)]
        return layers + ([nn.BatchNorm2d(outputs)] if batch_norm else []) + [nn.ReLU(inplace=True)]

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        *convolution(3, 96, 11, stride=2),
        pool(),
        nn.LocalResponseNorm(5, 1e-4, 0.75),
        *convolution(96, 256, 5, padding=2, groups=2),
        pool(),
        nn.LocalResponseNorm(5, 1e-4, 0.75),
        *convolution(256, 384, 3, padding=1),
        *convolution(384, 384, 3, padding=1, groups=2),
        *convolution(384, 256, 3, padding=1, groups=2),
        pool(),
        nn.Flatten(),
    )


def torch_branch():
    return nn.Sequential(torch_trunk(), nn.Linear(2304, CLASSES))


class TorchCFN(nn.Module):
    """nets.stacked_cfn with BatchNorm: nine tiles stacked in the batch, fc6 shared, fc7 on all nine."""

    def __init__(self):
        super().__init__()
        self.tile = nn.Sequential(torch_trunk(True), nn.Linear(2304, 1024), nn.BatchNorm1d(1024), nn.ReLU(inplace=True))
        self.puzzle = nn.Sequential(
            nn.Linear(TILES * 1024, 4096), nn.BatchNorm1d(4096), nn.ReLU(inplace=True), nn.Linear(4096, PERMUTATIONS)
        )

    def forward(self, puzzles):
        return self.puzzle(self.tile(puzzles.view(-1, 3, 64, 64)).view(len(puzzles), -1))


def torch_steps(model, data, labels, bfloat16):
    """(forward, training): functions that run one batch, from NumPy arrays on the host as Caffe does."""
    model = model.cuda().to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    host = torch.from_numpy(data).pin_memory()
    target = torch.from_numpy(labels).cuda()

    def run(train):
        model.train(train)
        with torch.set_grad_enabled(train), torch.autocast("cuda", torch.bfloat16, enabled=bfloat16):
            scores = model(host.cuda(non_blocking=True))
            loss = nn.functional.cross_entropy(scores, target)
        if train:
            adam.zero_grad()
            loss.backward()
            adam.step()
        return loss.item()

    return lambda: run(False), lambda: run(True)


def caffe_steps(net, data, labels, engine, folder):
    """(forward, training) through Caffe: `engine` "CAFFE" or "CUDNN" for its convolutions."""
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.engine = caffe_pb2.ConvolutionParameter.Engine.Value(engine)
    path = folder / "net.prototxt"
    path.write_text(str(net))
    parameter = solver.solver_parameter(recipes.CIFAR100_FINE_TUNE, path, per_epoch=100, mode="gpu")
    (folder / "solver.prototxt").write_text(str(parameter))
    adam = caffe.get_solver(str(folder / "solver.prototxt"))
    test = caffe.Net(str(path), caffe.TEST)
    test.share_with(adam.net)

    def put(target):
        target.blobs["data"].reshape(*data.shape)
        target.blobs["label"].reshape(len(labels))
        target.blobs["data"].data[...] = data
        target.blobs["label"].data[...] = labels

    def forward():
        put(test)
        test.forward()
        return float(test.blobs["loss"].data)

    def training():
        put(adam.net)
        adam.step(1)
        return float(adam.net.blobs["loss"].data)

    return forward, training


def seconds(step, count):
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def busy(step):
    """(kernels launched per batch, share of the time in which the card computes)."""
    took = seconds(step, 3)
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        step()
        torch.cuda.synchronize()
    kernels = [event for event in record.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return len(kernels), sum(event.time_range.elapsed_us() for event in kernels) / 1e6 / took


def measure(title, images, contenders):
    """Rows [net, phase, contender, images/s, ratio to the last contender, kernels, busy share]."""
    rows = []
    for number, phase in enumerate(("forward", "training")):
        steps = {name: pair[number] for name, pair in contenders.items()}
        counts = {}
        for name, step in steps.items():
            seconds(step, WARM_UP)
            counts[name] = max(1, round(0.3 / seconds(step, 1)))
        times = {name: [] for name in steps}
        for _ in range(ROUNDS):
            for name, step in steps.items():
                times[name].append(seconds(step, counts[name]))
        rate = {name: images / statistics.median(taken) for name, taken in times.items()}
        for name, step in steps.items():
            kernels, share = busy(step)
            ratio = rate[name] / rate["PyTorch, TF32"]
            rows.append([title, phase, name, f"{rate[name]:,.0f}", f"{ratio:.2f}", kernels, f"{share:.0%}"])
            print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=TABLE)
    out = parser.parse_args().out
    if device.obstacle():
        raise SystemExit(f"No GPU to measure: {device.obstacle()}")
    device.use()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    folder = course.run_folder("benchmark_gpu")
    rng = np.random.default_rng(0)
    rows = []
    for title, caffe_net, torch_net, tiles, classes in (
        ("branch", lambda: nets.branch(CLASSES, batch_size=BATCH, fillers="he"), torch_branch, 1, CLASSES),
        (
            "CFN, 9 tiles",
            lambda: nets.stacked_cfn(
                PERMUTATIONS, 64, BATCH, fillers="he", batch_norm=True, batch_norm_fc=True, dropout=False
            ),
            TorchCFN,
            TILES,
            PERMUTATIONS,
        ),
    ):
        data = rng.normal(size=(BATCH, 3 * tiles, 64, 64)).astype(np.float32)
        labels = rng.integers(classes, size=BATCH)
        contenders = {"Caffe's convolution": caffe_steps(caffe_net(), data, labels, "CAFFE", folder)}
        if device.build_info.CUDNN:
            contenders["Caffe with our cuDNN convolution"] = caffe_steps(caffe_net(), data, labels, "CUDNN", folder)
        contenders["PyTorch, TF32"] = torch_steps(torch_net(), data, labels, False)
        contenders["PyTorch, bfloat16"] = torch_steps(torch_net(), data, labels, True)
        rows += measure(title, BATCH * tiles, contenders)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    ).stdout.strip()
    commit = run_folder.provenance()["commit"]
    lines = [
        "# On a GPU",
        "",
        f"`python benchmarks/gpu.py`, {datetime.date.today()}, commit {commit}: {device.describe()}, driver {driver},",
        f"PyTorch {torch.__version__}, {platform.machine()}. Batch {BATCH} (puzzles for the CFN); the data come from",
        f"the host, training includes Adam's update; medians of {ROUNDS} rounds, contenders taking turns. In the",
        "last column, the share of the time in which the card computes or copies; the rest are launches and Python.",
        "",
        "| net | pass | | images/s | against PyTorch TF32 | kernels and copies a batch | card busy |",
        "|---|---|---|---:|---:|---:|---:|",
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
        "",
    ]
    part = out.with_name(out.name + ".part")
    part.write_text("\n".join(lines))
    part.replace(out)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
