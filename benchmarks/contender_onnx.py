"""A runtime that computes features and cannot train: `python contender_onnx.py FILE onnxruntime|openvino [float32]`.

FILE: the branch up to pool5, as helpers.export wrote it. OpenVINO takes bfloat16 by itself where a processor has it,
unless float32 is asked for. Runs without the helpers.
"""

import sys

from contender import batches, data, same, serve


def session(path, runtime, *precision):
    """A function from a batch of images to pool5."""
    if runtime == "onnxruntime":
        import onnxruntime

        made = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda images: made.run(["pool5_s1"], {"data": images})[0]
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32"} if "float32" in precision else {}
    made = openvino.Core().compile_model(path, "CPU", hints)
    return lambda images: made(images)[0]


def main():
    pool5, images = session(*sys.argv[1:]), data()[0]

    def forward(count):
        for rows in batches(count):
            pool5(images[rows])

    serve(forward=forward, pool5=lambda: pool5(same()[1]).ravel().tolist())


if __name__ == "__main__":
    main()
