"""A PyTorch script of the same training: `python contender_torch.py [channels_last] [compile] [bfloat16]`.

Plain without these words; with them, as PyTorch's own performance guide has it. Runs without the helpers.
"""

import contextlib
import sys

import torch
from contender import CLASSES, batches, data, same, serve
from torch import nn


def trunk():
    """conv1 to pool5 as in nets.branch."""

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=2),
        nn.ReLU(inplace=True),
        pool(),
        nn.LocalResponseNorm(5, 1e-4, 0.75),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        pool(),
        nn.LocalResponseNorm(5, 1e-4, 0.75),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        pool(),
        nn.Flatten(),
    )


def main():
    bfloat16 = "bfloat16" in sys.argv
    layout = torch.channels_last if "channels_last" in sys.argv else torch.contiguous_format
    convolutions = trunk().to(memory_format=layout)
    body, head = torch.compile(convolutions) if "compile" in sys.argv else convolutions, nn.Linear(2304, CLASSES)
    images, labels = map(torch.from_numpy, data())

    def batch(rows):
        return images[rows].contiguous(memory_format=layout)

    def adam(*parts):
        return torch.optim.Adam([p for m in parts for p in m.parameters()], lr=5e-4, weight_decay=5e-4)

    whole, last = adam(body, head), adam(head)

    def half():
        return torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()

    @torch.no_grad()
    def forward(count):
        for rows in batches(count):
            with half():
                body(batch(rows))

    def steps(count, optimizer, frozen):
        for rows in batches(count):
            optimizer.zero_grad()
            with half():
                with torch.set_grad_enabled(not frozen):
                    features = body(batch(rows))
                loss = nn.functional.cross_entropy(head(features).float(), labels[rows])
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def pool5():
        given, few = same()
        for layer, (weight, bias) in zip([m for m in convolutions if isinstance(m, nn.Conv2d)], given):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
        with half():
            return body(torch.from_numpy(few).contiguous(memory_format=layout)).float().flatten().tolist()

    serve(forward=forward, train=lambda n: steps(n, whole, False), frozen=lambda n: steps(n, last, True), pool5=pool5)


if __name__ == "__main__":
    main()
