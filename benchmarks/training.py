"""`python -m benchmarks.training`: how near training is to what its core, and two cores, can do.

    python3 -m venv TORCH && TORCH/bin/pip install torch numpy
    python -m benchmarks.training --torch TORCH/bin/python      # about 4 minutes

The step, PyTorch, a large matrix product and whole training runs are timed in turn on one core,
stretch by stretch of ten steps, so that a machine that is slow for a while is slow for all of them;
given are the best stretches. Then `cosmodeep train` runs on 1 and on 2 ranks of one core each, and
twice at once on 1 rank: two cores that share caches and memory are not twice one.

`step, TensorFlow alone` is what runs on GPUs: direct sums, and a backward pass through all pixels.
The step on cores convolves by Winograd's filtering, and backward at the pixels that the gradient
comes from: a fifth of the operations. A share of the core's peak is given of the operations that
are done. What direct sums would have needed in the same time is a line of its own; it says how fast
the step is, not how well it uses the core, and may be more than the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.images import write_pair
from cosmodeep_hpc.config.configuration import Config, load
from cosmodeep_hpc.engine import winograd
from cosmodeep_hpc.learn import network, trainer
from cosmodeep_hpc.learn import step as steps
from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.batch import PaperBatch
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.gradient import ByTensorFlow
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import World, open_world
from cosmodeep_hpc.tiles import make

BATCH, SIZE = 100, 40
STEPS = 10  # of a stretch
SIDE = 2048  # of the matrices whose product shows the core's peak
TO_POINTS, TO_PIXELS = 24, 16  # operations of Winograd's transformations, a row
BINS = 9  # of the pyramid: its gradient comes from as many pixels of a map, at most
IMAGES = 8


def flops(size: int = SIZE) -> dict[str, float]:
    """Return the floating point operations a tile of a step, counted from the network's shapes.

    "direct" are those of the convolutions as they are written down, "done" those of the step on
    cores: at most, as it leaves out maxima that ReLU holds back. A multiplication and an addition
    are two. A layer's backward pass is two of its forward pass: one for its weights, one for its
    input; the tile itself needs no gradient. Comparisons, ReLU and the update of the weights are
    not counted.
    """
    half = -(-size // 2)
    patches = winograd.patches(half) ** 2
    conv1 = 2 * 9 * 32 * size**2
    conv2 = 2 * 9 * 32 * 64 * half**2
    dense = 2 * 640 * 1024 + 2 * 1024 * 2
    # 6 x 6 points a patch; there are 12 rows and columns to transform, and 10 back
    products = 2 * 36 * 32 * 64 * patches
    transformed = (12 * TO_POINTS * 32 + 10 * TO_PIXELS * 64) * patches
    return {
        "direct": 3 * (conv1 + conv2 + dense) - conv1,
        # the first layer's gradient is summed at each corner of a window, as its maps are
        "done": 2 * conv1 + products + transformed + 2 * conv2 * BINS / half**2 + 3 * dense,
    }


def resident(tf: Any, world: World, *, cores: bool) -> Callable[[], float]:
    """Return a function that trains a stretch on one batch in memory; it gives seconds a step."""
    config = load(None, [])
    net = network.build(config.model, SIZE, 1)

    def by_tensorflow(tf: Any, net: Any, scale: Any, *_: Any) -> ByTensorFlow:
        return ByTensorFlow(tf, net, FastNetwork(tf, net), scale, xla=False)

    with mock.patch.object(steps, "_gradient", steps._gradient if cores else by_tensorflow):
        step = steps.Step(tf, net, config.train.learning_rate, Allreduce(world))
    random = np.random.default_rng(1)
    tiles = random.normal(size=(BATCH, SIZE, SIZE)).astype(np.float32)
    signal = random.random(BATCH) < 0.5
    keep = np.ones((BATCH, network.HIDDEN_UNITS), dtype=np.float32)
    part = PaperBatch(tiles=tiles, signal=signal, keep=keep)

    def stretch() -> float:
        start = time.perf_counter()
        for _ in range(STEPS):
            step.train(part, BATCH)
        return (time.perf_counter() - start) / STEPS

    stretch()
    return stretch


def product(tf: Any) -> Callable[[], float]:
    """Return a function that multiplies two large matrices by TensorFlow; it gives FLOP/s."""
    matrix = tf.random.normal((SIDE, SIDE))
    multiply = tf.function(lambda: tf.reduce_max(matrix @ matrix))
    multiply().numpy()

    def rate() -> float:
        start = time.perf_counter()
        multiply().numpy()
        return float(2 * SIDE**3 / (time.perf_counter() - start))

    return rate


def whole(folder: Path, config: Config, world: World) -> Callable[[], dict[str, float]]:
    """Return a function that does a whole training run; it gives the best stretch."""
    make.run(config, folder, folder / "tiles", world)
    count = 0

    def run() -> dict[str, float]:
        nonlocal count
        count += 1
        out = folder / f"whole-{count}"
        trainer.run(config, folder / "tiles", out, world)
        return best_stretch(out, BATCH)

    run()
    return run


def best_stretch(run: Path, batch: int) -> dict[str, float]:
    """Return the seconds a step, and of its data, in a run's fastest logged stretch."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    line = max((x for x in lines if x["kind"] == "train"), key=lambda x: x["tiles_per_second"])
    return {
        "tiles_per_second": line["tiles_per_second"],
        "step": batch / line["tiles_per_second"],
        **{name: line[f"{name}_seconds"] for name in ("data", "allreduce")},
    }


class Torch:
    """The PyTorch loop in a process of its own."""

    def __init__(self, python: Path) -> None:
        """Start it with an interpreter that has PyTorch; wait until it is ready."""
        script = Path(__file__).with_name("torch_loop.py")
        self._process = subprocess.Popen(
            [str(python), str(script), str(STEPS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._ask, self._answer = self._process.stdin, self._process.stdout
        self.version, parameters = self._answer.readline().split()
        assert parameters == "677250"

    def stretch(self) -> float:
        """Return the seconds a step of one stretch."""
        self._ask.write("\n")
        self._ask.flush()
        return float(self._answer.readline())

    def close(self) -> None:
        """End the process."""
        self._ask.close()
        self._process.wait()


def trained(folder: Path, ranks: int) -> dict[str, float]:
    """Run `cosmodeep train` on ranks of one core, of the same batch; return the best stretch."""
    run = Path(tempfile.mkdtemp(dir=folder, prefix=f"ranks{ranks}-")) / "run"
    script = Path(__file__).parents[1] / "slurm" / "train.sh"
    words = ["--tiles", str(folder / "tiles"), "--out", str(run)]
    options = ["--train.epochs", "6", "--train.log_steps", "5"]
    options += ["--train.batch", str(BATCH * ranks)]
    one_core = {"RANKS": str(ranks), "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        ["bash", str(script), *words, *options],
        check=True,
        timeout=600,
        env={**os.environ, **one_core, "COSMODEEP_PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return best_stretch(run, BATCH * ranks)


def one_core(folder: Path, python: Path | None, rounds: int) -> None:
    """Print the lines of one core."""
    world = open_world()
    tf = runtime.start_tensorflow(world)
    options = {"tiles.images_per_shard": "2", "tiles.validation": "0", "train.epochs": "2"}
    config = load(None, list((options | {"train.log_steps": str(STEPS)}).items()))
    ours, plain = (resident(tf, world, cores=cores) for cores in (True, False))
    run, multiply = whole(folder, config, world), product(tf)
    torch = Torch(python) if python else None
    times: dict[str, list[float]] = {n: [] for n in ("ours", "plain", "torch", "peak")}
    runs = []
    for _ in range(rounds):
        times["ours"].append(ours())
        times["plain"].append(plain())
        times["peak"].append(multiply())
        if torch:
            times["torch"].append(torch.stretch())
        runs.append(run())
        times["ours"].append(ours())
    step, slow, peak = min(times["ours"]), min(times["plain"]), max(times["peak"])
    loop = min(runs, key=lambda r: r["step"])
    say("step, batch 100 held in memory", f"{step * 1e3:.1f} ms", f"{BATCH / step:.0f} tiles/s")
    say("step, TensorFlow alone", f"{slow * 1e3:.1f} ms", f"{slow / step:.2f} x the step")
    if torch:
        ratio = min(times["torch"]) / step
        name = f"PyTorch {torch.version}, eager"
        say(name, f"{min(times['torch']) * 1e3:.1f} ms", f"{ratio:.2f} x the step")
        torch.close()
    else:
        say("PyTorch, eager", "not timed", "no --torch PYTHON with PyTorch was given")
    say(f"matrix product of {SIDE}, the peak", f"{peak / 1e9:.1f} GFLOP/s", "")
    direct, done = (flops()[name] * BATCH for name in ("direct", "done"))
    for name, operations, seconds in (
        ("step, TensorFlow alone", direct, slow),
        ("step, operations done", done, step),
    ):
        rate = operations / seconds
        what = f"{name}: {operations / BATCH / 1e6:.1f} MFLOP a tile"
        say(what, f"{rate / 1e9:.1f} GFLOP/s", f"{100 * rate / peak:.0f} % of the peak")
    say(
        "step, as if its sums were direct",
        f"{direct / step / 1e9:.1f} GFLOP/s",
        f"{direct / done:.1f} x the operations done",
    )
    say(
        "cosmodeep train, all included",
        f"{loop['step'] * 1e3:.1f} ms",
        f"{100 * step / loop['step']:.1f} % of the step's speed",
    )
    say(
        "waiting for input",
        f"{loop['data'] * 1e3:.2f} ms",
        f"{100 * loop['data'] / loop['step']:.2f} %",
    )


def two_ranks(folder: Path, rounds: int) -> None:
    """Print the line of two cores."""
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    apart = []
    for _ in range(rounds):
        for ranks, found in runs.items():
            found.append(trained(folder, ranks))
        with ThreadPoolExecutor() as jobs:
            each = list(jobs.map(lambda _: trained(folder, 1), range(2)))
        apart.append(sum(job["tiles_per_second"] for job in each))
    alone, pair = (max(r, key=lambda x: x["tiles_per_second"]) for r in runs.values())
    say(
        "2 jobs of 1 rank, at the same time",
        f"{max(apart):.0f} tiles/s",
        f"{max(apart) / alone['tiles_per_second']:.2f} x 1 rank: what the cores share",
    )
    say(
        "2 ranks of 1 core, 100 tiles each",
        f"{pair['tiles_per_second']:.0f} tiles/s",
        f"{pair['tiles_per_second'] / alone['tiles_per_second']:.2f} x 1 rank "
        f"({alone['tiles_per_second']:.0f})",
    )
    say("their sum over ranks", f"{pair['allreduce'] * 1e3:.1f} ms a step", "waiting included")


def say(what: str, value: str, against: str) -> None:
    """Print one line of the table."""
    print(f"{what:50} {value:>16}   {against}", flush=True)


def main() -> None:
    """Time all ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", type=Path, help="an interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5, help="timings of each, in turn")
    parser.add_argument("--core", type=int, help="the core of the lines of one core: the last")
    words = parser.parse_args()
    cores = os.sched_getaffinity(0)
    print(f"{len(cores)} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(IMAGES):
            write_pair(folder, number, 2000)
        os.sched_setaffinity(0, {max(cores) if words.core is None else words.core})
        one_core(folder, words.torch, words.rounds)
        os.sched_setaffinity(0, cores)
        if len(cores) > 1:
            two_ranks(folder, min(2, words.rounds))


if __name__ == "__main__":
    main()
