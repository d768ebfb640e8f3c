"""A step of the whole CFN with BatchNorm, at full width: `python contender_cfn.py ours|torch`.

Nine tiles of 64 pixels a puzzle, 100 permutations, Adam. PyTorch's runs without the helpers, channels last.
"""

import sys

import numpy as np
from contender import serve

PUZZLES, PERMUTATIONS = 64, 100


def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((PUZZLES, 27, 64, 64), np.float32), rng.integers(PERMUTATIONS, size=PUZZLES)


def ours():
    """A function that takes one step in Caffe."""
    import pathlib
    import tempfile

    import caffe

    from helpers import nets, recipes
    from helpers.data.examples import feed
    from helpers.training import device, schedule

    device.use()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "net.prototxt")
        path.write_text(str(nets.stacked_cfn(PERMUTATIONS, batch_size=PUZZLES, fillers="he", batch_norm=True)))
        parameter = schedule.solver_parameter(recipes.CIFAR100_FINE_TUNE, path, 100)
        pathlib.Path(folder, "solver.prototxt").write_text(str(parameter))
        solver = caffe.get_solver(str(pathlib.Path(folder, "solver.prototxt")))
    puzzles, labels = batch()

    def step():
        feed(solver.net, puzzles, labels)
        solver.step(1)

    return step


def pytorch():
    """A function that takes one step in PyTorch."""
    import torch
    from contender_torch import trunk
    from torch import nn

    convolutions = []
    for layer in trunk():
        convolutions += [layer, nn.BatchNorm2d(layer.out_channels)] if isinstance(layer, nn.Conv2d) else [layer]
    tile = nn.Sequential(*convolutions, nn.Linear(2304, 1024), nn.ReLU(), nn.Dropout()).to(
        memory_format=torch.channels_last
    )
    whole = nn.Sequential(nn.Linear(9 * 1024, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, PERMUTATIONS))
    optimizer = torch.optim.Adam([*tile.parameters(), *whole.parameters()], lr=5e-4, weight_decay=5e-4)
    puzzles, labels = map(torch.from_numpy, batch())

    def step():
        optimizer.zero_grad()
        tiles = puzzles.reshape(-1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(whole(tile(tiles).reshape(PUZZLES, -1)), labels)
        loss.backward()
        optimizer.step()

    return step


def main():
    step = {"ours": ours, "torch": pytorch}[sys.argv[1]]()
    serve(step=step)


if __name__ == "__main__":
    main()
