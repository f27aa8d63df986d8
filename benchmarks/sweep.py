"""`python -m benchmarks.sweep`: how near a sweep is to the bare network, and to ONNX Runtime's.

    python3 -m venv ONNX && ONNX/bin/pip install onnxruntime onnx numpy
    python -m benchmarks.sweep --onnx ONNX/bin/python            # one core, about 2 minutes
    python -m benchmarks.sweep --onnx ONNX/bin/python --cores 2
    python -m benchmarks.sweep --onnx ONNX/bin/python --model robust     # or yours
    COSMODEEP_ENGINE=keras KERAS_BACKEND=jax python -m benchmarks.sweep   # any backend, or a GPU

Everything is timed in turn, round by round, so that a machine that is slow for a while is slow for
all of them; given is the best of each. ONNX Runtime runs the same weights on tiles held in memory,
in the best of a few sizes of batch. The sweep is timed from files to probabilities, noise measured
and checksums made, and again with its products written, with and without the picture. `--cpu`
counts the seconds of the processor instead of the clock's, for one core of a machine with other
work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.images import NOISE, write_pair
from cosmodeep_hpc.config.configuration import load
from cosmodeep_hpc.config.survey import USUAL_PRODUCTS
from cosmodeep_hpc.engine.network import read
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.learn import modelfile, network
from cosmodeep_hpc.learn.classifier import outputs, probabilities
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.parallel.world import World, open_world
from cosmodeep_hpc.products.folder import ProductFolder
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.survey.result import MosaicResult
from cosmodeep_hpc.survey.scheduler import SweepOptions
from cosmodeep_hpc.survey.sweep import sweep as survey_sweep
from cosmodeep_hpc.survey.task import MosaicOutcome
from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing
from cosmodeep_hpc.tiles.tiling import coverage, cut

SIDE, SIZE = 2000, 40
TILES = (SIDE // SIZE) ** 2
BATCHES = (10, 50, 500)  # of ONNX Runtime
ROWS = 400  # read at once


class Onnx:
    """ONNX Runtime in a process of its own."""

    def __init__(self, python: Path, weights: Path, threads: int, *, cpu: bool) -> None:
        """Start it with an interpreter that has ONNX Runtime; wait until it is ready."""
        script = Path(__file__).with_name("onnx_loop.py")
        self._process = subprocess.Popen(
            [str(python), str(script), str(weights), str(threads), "cpu" if cpu else "clock"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._ask, self._answer = self._process.stdin, self._process.stdout
        self.version = self._answer.readline().strip()

    def ask(self, line: str) -> str:
        """Return its answer to a line."""
        self._ask.write(line + "\n")
        self._ask.flush()
        return self._answer.readline().strip()

    def close(self) -> None:
        """End the process."""
        self._ask.close()
        self._process.wait()


def make_model(folder: Path) -> Path:
    """Write an untrained network to a file."""
    config = load(None, [])
    net = network.build(config.model, SIZE, 1)
    card = modelfile.Card(
        preprocessing=Preprocessing.of(config.tiles),
        f_th=1e-7,
        n_pix=40,
        threshold=0.5,
        pixel_scale=9.6,
        noise_rms=NOISE,
        trained_on=(),
        seed=1,
    )
    modelfile.save(folder / "model.keras", net, card)
    return folder / "model.keras"


def save_weights(model: TrainedModel, path: Path) -> None:
    """Write a model's weights as ONNX Runtime's process reads them."""
    weights = {
        f"{layer.name}.{kind}": values
        for layer in read(model.path).layers.values()
        for kind, values in zip(("kernel", "bias"), layer.weights, strict=False)
    }
    preprocessing = model.card.preprocessing
    np.savez(path, **weights, window=preprocessing.window, size=preprocessing.tile_size)


class Nowhere(ProductFolder):
    """A folder that no products are written to."""

    def take(self, swept: MosaicResult) -> MosaicOutcome:
        """Ignore the result."""
        return MosaicOutcome(path=swept.path, state="done")


def sweep(
    world: World, model: TrainedModel, images: list[Path], out: Path, products: list[str]
) -> None:
    """Sweep images into the empty folder `out`; without any products not even their record."""
    plan = SweepPlan(
        images=tuple(images),
        model=model,
        model_sha256="0" * 64,
        config=load(None, [("classify.products", json.dumps(products))]),
        request=SweepRequest(),
    )
    kind = ProductFolder if products else Nowhere
    survey_sweep(plan, kind(out, plan.config, restart=True), world, SweepOptions(strict=True))


def prepare(path: Path, preprocessing: Preprocessing, level: Level) -> None:
    """Read and preprocess an image, as for the network; its level is known."""
    image = open_image(path)
    for start in range(0, SIDE, ROWS):
        tiles = cut(image.rows(start, start + ROWS), SIZE)
        coverage(tiles)
        preprocessing.apply(tiles, level)


def say(what: str, seconds: float, ratio: str = "") -> None:
    """Print one line of the table, for one image."""
    rate = f"{1 / seconds:8.2f} images/s {TILES / seconds:9.0f} tiles/s"
    print(f"{what:44} {seconds * 1e3:8.1f} ms {rate}   {ratio}", flush=True)


def main() -> None:
    """Time all ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onnx", type=Path, help="an interpreter that has onnxruntime and onnx")
    parser.add_argument("--model", help="a model in place of an untrained one of the paper's")
    parser.add_argument("--cores", type=int, default=1, help="cores of this process, the last ones")
    parser.add_argument("--images", type=int, default=3, help="images of a sweep")
    parser.add_argument("--rounds", type=int, default=5, help="timings of each, in turn")
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor, on one core")
    words = parser.parse_args()
    clock = time.process_time if words.cpu else time.perf_counter
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-words.cores :])
    print(f"{words.cores} of {len(cores)} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    world = open_world()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(words.images):
            write_pair(folder, number, SIDE)
        images = sorted(folder.glob("noise-*.fits"))
        model = modelfile.load_on_ranks(words.model or make_model(folder), world=world)
        preprocessing = model.card.preprocessing
        level = preprocessing.measure(open_image(images[0]))
        window = preprocessing.window
        tiles = np.random.default_rng(1).normal(size=(TILES, window, window)).astype(np.float32)
        asinh = replace(preprocessing, scaling="asinh")
        actions: dict[str, Callable[[Path], object]] = {
            "network, tiles held in memory": lambda _: probabilities(model, tiles, 500),
            "file to tiles, minmax": lambda _: prepare(images[0], preprocessing, level),
            "file to tiles, asinh": lambda _: prepare(images[0], asinh, level),
            "measuring extremes and noise": lambda _: preprocessing.measure(open_image(images[0])),
        }
        for what, products in {
            "files to probabilities": [],
            "products written": list(USUAL_PRODUCTS),
            "products but the picture": [name for name in USUAL_PRODUCTS if name != "picture"],
        }.items():
            actions[f"sweep, {what}"] = partial(sweep, world, model, images, products=products)
        times: dict[str, list[float]] = {}
        onnx = None
        if words.onnx:
            save_weights(model, folder / "weights.npz")
            onnx = Onnx(words.onnx, folder / "weights.npz", words.cores, cpu=words.cpu)
            np.save(folder / "tiles.npy", tiles[:500])
            onnx.ask(f"check {folder}/tiles.npy {folder}/found.npy")
            ours = outputs(model, tiles[:500], 500).reshape(500, -1)
            theirs = np.load(folder / "found.npy")[:, -ours.shape[1] :]  # of two the signal's
            print(f"largest difference to ONNX Runtime: {abs(ours - theirs).max():.1e}")
        for action in actions.values():
            with tempfile.TemporaryDirectory() as out:
                action(Path(out))
        for _ in range(words.rounds):
            for what, action in actions.items():
                with tempfile.TemporaryDirectory() as out:  # removing it is not timed
                    start = clock()
                    action(Path(out))
                    seconds = clock() - start
                of = words.images if what.startswith("sweep") else 1
                times.setdefault(what, []).append(seconds / of)
                if onnx and not what.startswith(("file", "measuring")):
                    for batch in BATCHES:
                        taken = float(onnx.ask(f"time {batch} {TILES // 5}")) * 5
                        times.setdefault("onnx", []).append(taken)
        bare = None
        if onnx:
            bare = min(times.pop("onnx"))
            say(f"ONNX Runtime {onnx.version}, bare forward pass", bare)
            onnx.close()
        for what, all_taken in times.items():
            best = min(all_taken)
            ratio = f"{100 * bare / best:5.1f} % of ONNX Runtime's speed" if bare else ""
            say(what, best, "" if what.startswith(("file", "measuring")) else ratio)
        if bare is None:
            print("ONNX Runtime: not timed, no --onnx PYTHON was given")


if __name__ == "__main__":
    main()
