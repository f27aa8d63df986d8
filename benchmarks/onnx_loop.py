"""The forward pass of the network in ONNX Runtime, to be compared with.

    ONNX/bin/python benchmarks/onnx_loop.py WEIGHTS THREADS clock|cpu

takes the weights of a Keras model of ours from an `.npz` file, layer by layer, and answers lines on
its standard input: `check TILES OUT` writes the probabilities of the tiles of one `.npy` file into
another; `time BATCH COUNT` runs batches of random tiles held in memory until COUNT tiles are
through, and writes the seconds, by the clock or of the processor. Its first line names ONNX
Runtime's version.
Nothing of the project is imported: ONNX Runtime has an environment of its own.
"""

import sys
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE = 40


def graph(weights: dict[str, np.ndarray]) -> bytes:
    """The network of `cosmodeep_hpc.learn.network.build` with the pyramid, as ONNX writes it."""
    bins = weights["hidden.kernel"][:576].reshape(3, 3, 64, 1024).transpose(2, 0, 1, 3)
    tensors = {
        "k1": weights["conv1.kernel"].transpose(3, 2, 0, 1),
        "b1": weights["conv1.bias"],
        "k2": weights["conv2.kernel"].transpose(3, 2, 0, 1),
        "b2": weights["conv2.bias"],
        # ONNX's maps come channel by channel, Keras' pixel by pixel
        "k3": np.concatenate([bins.reshape(576, 1024), weights["hidden.kernel"][576:]]),
        "b3": weights["hidden.bias"],
        "k4": weights["logits.kernel"],
        "b4": weights["logits.bias"],
    }
    node = helper.make_node
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["tiles", "k1", "b1"], ["c1"], **pads),
        node("Relu", ["c1"], ["r1"]),
        node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "k2", "b2"], ["c2"], **pads),
        node("Relu", ["c2"], ["r2"]),
        node("MaxPool", ["r2"], ["p2"], kernel_shape=[7, 7], strides=[7, 7], pads=[0, 0, 1, 1]),
        node("Flatten", ["p2"], ["bins"]),
        node("GlobalMaxPool", ["r2"], ["g2"]),
        node("Flatten", ["g2"], ["whole"]),
        node("Concat", ["bins", "whole"], ["features"], axis=1),
        node("Gemm", ["features", "k3", "b3"], ["h"]),
        node("Relu", ["h"], ["hidden"]),
        node("Gemm", ["hidden", "k4", "b4"], ["logits"]),
        node("Softmax", ["logits"], ["probability"], axis=1),
    ]
    kind = TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "cosmodeep",
            [helper.make_tensor_value_info("tiles", kind, ["n", 1, SIZE, SIZE])],
            [helper.make_tensor_value_info("probability", kind, ["n", 2])],
            [
                numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name)
                for name, value in tensors.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    return bytes(model.SerializeToString())


def main() -> None:
    """Answer until the input ends."""
    weights = dict(np.load(sys.argv[1]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(sys.argv[2])
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph(weights), options, providers=["CPUExecutionProvider"]
    )

    def run(tiles: np.ndarray) -> np.ndarray:
        return session.run(["probability"], {"tiles": tiles})[0]

    clock = time.process_time if sys.argv[3] == "cpu" else time.perf_counter
    print(onnxruntime.__version__, flush=True)
    random = np.random.default_rng(1)
    for line in sys.stdin:
        what, first, second = line.split()
        if what == "check":
            np.save(second, run(np.load(first).reshape(-1, 1, SIZE, SIZE))[:, 1])
            print("checked", flush=True)
            continue
        batch, count = int(first), int(second)
        tiles = random.normal(size=(batch, 1, SIZE, SIZE)).astype(np.float32)
        start = clock()
        for _ in range(-(-count // batch)):
            run(tiles)
        print((clock() - start) * count / (-(-count // batch) * batch), flush=True)


if __name__ == "__main__":
    main()
