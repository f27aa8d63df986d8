"""The forward pass of the network in ONNX Runtime, to be compared with.

    ONNX/bin/python benchmarks/onnx_loop.py WEIGHTS THREADS clock|cpu

takes the weights of a Keras model of ours from an `.npz` file, layer by layer, and answers lines on
its standard input: `check TILES OUT` writes the probabilities (n, ...) of the tiles of one `.npy`
file into another; `time BATCH COUNT` runs batches of random tiles held in memory until COUNT tiles
are through, and writes the seconds, by the clock or of the processor; `block SIDE COUNT` does
the same of a counts network over a block, the best of COUNT times. Its first line names ONNX
Runtime's version. The paper's network (pyramid head) and counts networks are known.
Nothing of the project is imported: ONNX Runtime has an environment of its own.
"""

import sys
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

AROUND = 40  # pixels around a block, more than the network sees
PADS = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
node = helper.make_node


def graph(weights: dict[str, np.ndarray], *, dense: bool = False) -> bytes:
    """Return a network of these weights as ONNX: tiles (n, 1, w, w) to `probability`.

    A dense one: blocks (1, 1, h, w) to the log-odds of their pixels.
    """
    kind, side = TensorProto.FLOAT, int(weights["window"])
    shape, end = ["n", 1, side, side], "probability"
    if dense:
        nodes, tensors = counts(weights, dense=True)
        shape, end = [1, 1, "h", "w"], "pixel_logits.linear"
    elif "conv6.kernel" in weights:
        nodes, tensors = counts(weights)
    else:
        nodes, tensors = pyramid(weights)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "cosmodeep",
            [helper.make_tensor_value_info("tiles", kind, shape)],
            [helper.make_tensor_value_info(end, kind, None)],
            [
                value
                if isinstance(value, TensorProto)
                else numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name)
                for name, value in tensors.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    return bytes(model.SerializeToString())


def pyramid(weights: dict[str, np.ndarray]) -> tuple[list, dict]:
    """Return the network of `cosmodeep_hpc.learn.network.build` with the pyramid: (n, 2)."""
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
    nodes = [
        node("Conv", ["tiles", "k1", "b1"], ["c1"], **PADS),
        node("Relu", ["c1"], ["r1"]),
        node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "k2", "b2"], ["c2"], **PADS),
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
    return nodes, tensors


def counts(weights: dict[str, np.ndarray], *, dense: bool = False) -> tuple[list, dict]:
    """Return the network of `cosmodeep_hpc.learn.countsnetwork.build`, with margin: (n, rules).

    A dense one takes blocks of any size with AROUND pixels around them, and ends with log-odds.
    """
    tensors, nodes = {}, []
    for name in sorted({key.rpartition(".")[0] for key in weights} - {""}):
        kernel = weights[f"{name}.kernel"]
        tensors[f"{name}.k"] = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel
        tensors[f"{name}.b"] = weights[f"{name}.bias"]

    def add(kind: str, given: list[str], name: str, **words: object) -> str:
        nodes.append(node(kind, given, [name], **words))
        return name

    def layer(kind: str, given: str, name: str, *, relu: bool = True, **words: object) -> str:
        found = add(kind, [given, f"{name}.k", f"{name}.b"], f"{name}.linear", **words)
        return add("Relu", [found], name) if relu else found

    def mean(given: str, name: str) -> str:
        return add("Flatten", [add("GlobalAveragePool", [given], f"{name}.whole")], name)

    def constant(name: str, values: object, kind: type) -> str:
        tensors[name] = numpy_helper.from_array(np.array(values, dtype=kind), name)
        return name

    def logarithm(given: str, name: str) -> str:
        count = add("Mul", [given, area], f"{name}.pixels")
        return add("Log", [add("Add", [count, half], f"{name}.half")], name)

    window, size = int(weights["window"]), int(weights["size"])
    crop, halves = (window - size) // 4 - 1, {"kernel_shape": [2, 2], "strides": [2, 2]}
    area, half = constant("area", size**2, np.float32), constant("half", 0.5, np.float32)
    maps = add("AveragePool", [layer("Conv", "tiles", "conv1", **PADS)], "pool1", **halves)
    wide = layer("Conv", maps, "conv2", **PADS)
    maps = add("AveragePool", [wide], "pool2", **halves)
    maps = layer("Conv", layer("Conv", maps, "conv3", **PADS), "conv4", **PADS)
    scales = constant("scales", [1, 1, 2, 2], np.float32)
    nearest = {"mode": "nearest", "nearest_mode": "floor"}
    words = {"coordinate_transformation_mode": "asymmetric", **nearest}
    if "deep1.kernel" in weights:
        deep = layer("Conv", add("AveragePool", [maps], "pool3", **halves), "deep1", **PADS)
        deep = layer("Conv", layer("Conv", deep, "deep2", **PADS), "deep3", relu=False)
        raised = add("Resize", [deep, "", scales], "raised", **words)
        maps = add("Relu", [add("Add", [raised, maps], "deepened")], "quarter")
    maps = layer("Conv", maps, "conv5", relu=False)
    maps = add("Add", [add("Resize", [maps, "", scales], "wide", **words), wide], "both")
    first, last = (AROUND // 2 - 1, 1 - AROUND // 2) if dense else (crop, window // 2 - crop)
    ends = [
        constant(name, values, np.int64)
        for name, values in (("starts", [first] * 2), ("ends", [last] * 2), ("axes", [2, 3]))
    ]
    maps = add("Relu", [add("Slice", [maps, *ends], "inner")], "sum")
    maps = layer("Conv", maps, "conv6", kernel_shape=[3, 3])
    logits = layer("Conv", maps, "pixel_logits", relu=False)
    if dense:
        return nodes, tensors
    pixels = add("Sigmoid", [logits], "pixels")
    share = mean(pixels, "share")
    square = mean(add("Mul", [pixels, pixels], "squares"), "square")
    seen = [
        share,
        logarithm(share, "count"),
        logarithm(add("Sub", [share, square], "variance"), "count_variance"),
        mean(add("Relu", [logits], "bright"), "brightness"),
        add("Flatten", [add("GlobalMaxPool", [logits], "peak.whole")], "peak"),
        mean(layer("Conv", maps, "features"), "features_mean"),
    ]
    units = layer("Gemm", add("Concat", seen, "seen", axis=1), "hidden1")
    units = add("Concat", [layer("Gemm", units, "hidden2"), "count"], "hidden", axis=1)
    add("Sigmoid", [layer("Gemm", units, "counted", relu=False)], "probability")
    return nodes, tensors


def best_of_blocks(session: object, side: int, count: int, clock: object) -> float:
    """Return the least seconds that a block takes, of some."""
    wide = side + 2 * AROUND
    block = np.random.default_rng(1).normal(size=(1, 1, wide, wide)).astype(np.float32)
    session.run(None, {"tiles": block})  # it plans its memory
    times = []
    for _ in range(count):
        start = clock()
        (found,) = session.run(None, {"tiles": block})
        times.append(clock() - start)
    assert found.shape[2:] == (side // 2, side // 2)
    return min(times)


def main() -> None:
    """Answer until the input ends."""
    weights = dict(np.load(sys.argv[1]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(sys.argv[2])
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # that weights behind the maps are not used is known
    session = onnxruntime.InferenceSession(
        graph(weights), options, providers=["CPUExecutionProvider"]
    )

    side, dense = int(weights["window"]), None

    def run(tiles: np.ndarray) -> np.ndarray:
        return session.run(None, {"tiles": tiles})[0]

    clock = time.process_time if sys.argv[3] == "cpu" else time.perf_counter
    print(onnxruntime.__version__, flush=True)
    random = np.random.default_rng(1)
    for line in sys.stdin:
        what, first, second = line.split()
        if what == "block":
            if dense is None:
                dense = onnxruntime.InferenceSession(
                    graph(weights, dense=True), options, providers=["CPUExecutionProvider"]
                )
            print(best_of_blocks(dense, int(first), int(second), clock), flush=True)
            continue
        if what == "check":
            np.save(second, run(np.load(first)[:, np.newaxis]))
            print("checked", flush=True)
            continue
        batch, count = int(first), int(second)
        tiles = random.normal(size=(batch, 1, side, side)).astype(np.float32)
        start = clock()
        for _ in range(-(-count // batch)):
            run(tiles)
        print((clock() - start) * count / (-(-count // batch) * batch), flush=True)


if __name__ == "__main__":
    main()
