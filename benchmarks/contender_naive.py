"""The loop that a pycaffe user writes: Caffe's own convolution, BLAS threads as they come, one batch after another."""

import pathlib
import tempfile

import caffe  # before the helpers, which would choose one BLAS thread
from caffe.proto import caffe_pb2
from contender import BATCH, CLASSES, batches, data, same, serve

from helpers import nets, recipes
from helpers.training import schedule


def stock(net):
    """The net with the release's own convolution."""
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.engine = caffe_pb2.ConvolutionParameter.CAFFE
    return net


def solver_of(net, folder):
    pathlib.Path(folder, "net.prototxt").write_text(str(net))
    parameter = schedule.solver_parameter(recipes.CIFAR100_FINE_TUNE, pathlib.Path(folder, "net.prototxt"), 333)
    pathlib.Path(folder, "solver.prototxt").write_text(str(parameter))
    return caffe.get_solver(str(pathlib.Path(folder, "solver.prototxt")))


def main():
    caffe.set_mode_cpu()
    images, labels = data()
    with tempfile.TemporaryDirectory() as folder:
        solver = solver_of(stock(nets.branch(CLASSES, "all", BATCH, "he")), folder)
        frozen_solver = solver_of(stock(nets.branch(CLASSES, "fc6", BATCH, "he")), folder)
        net = caffe.Net(str(pathlib.Path(folder, "net.prototxt")), caffe.TEST)

    def feed(net, rows):
        net.blobs["data"].reshape(*images[rows].shape)
        net.blobs["label"].reshape(len(labels[rows]))
        net.blobs["data"].data[...] = images[rows]
        net.blobs["label"].data[...] = labels[rows]

    def forward(count):
        for rows in batches(count):
            feed(net, rows)
            net.forward(end="pool5_s1")

    def steps(solver, count):
        for rows in batches(count):
            feed(solver.net, rows)
            solver.step(1)

    def pool5():
        convolutions, few = same()
        for name, pair in zip(nets.CONVOLUTIONS, convolutions):
            for blob, array in zip(net.params[name], pair):
                blob.data[...] = array
        net.blobs["data"].reshape(*few.shape)
        net.blobs["data"].data[...] = few
        return net.forward(end="pool5_s1")["pool5_s1"].ravel().tolist()

    serve(forward=forward, train=lambda n: steps(solver, n), frozen=lambda n: steps(frozen_solver, n), pool5=pool5)


if __name__ == "__main__":
    main()
