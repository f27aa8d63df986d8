"""`python -m benchmarks.gpu_sweep`: how busy a sweep keeps the device that JAX computes on.

    python -m benchmarks.gpu_sweep --images 400                      # on a GPU: a minute or two
    mpirun -np 4 python -m mpi4py -m benchmarks.gpu_sweep --images 400         # ranks of one GPU
    JAX_PLATFORMS=cpu python -m benchmarks.gpu_sweep --images 4 --rounds 1     # without a GPU

The program of a stripe is timed alone, with pixels that lie on the device, and with pixels that are
sent there and maps that come back; each piece of work of the cores in one thread; then whole sweeps
of files, with checksums made and noise measured, to maps and probabilities in memory, or to
`--products`. The device is busy for the time that its programs take alone, as a share of the
clock's: on a CPU, which has the cores' work to do as well, that means little. The images are few
files under many names, in a folder that should be in memory (`--folder /dev/shm`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.images import write_pair
from cosmodeep_hpc.config.configuration import load
from cosmodeep_hpc.config.survey import USUAL_PRODUCTS
from cosmodeep_hpc.engine.backend import ENGINE
from cosmodeep_hpc.engine.byjax import BlocksByJax
from cosmodeep_hpc.parallel.runtime import cores_of_rank
from cosmodeep_hpc.parallel.world import World, open_world
from cosmodeep_hpc.products.folder import ProductFolder
from cosmodeep_hpc.survey import devicestripe
from cosmodeep_hpc.survey import sweep as sweeping
from cosmodeep_hpc.survey.destination import Destination, Nowhere
from cosmodeep_hpc.survey.devicemaps import DeviceMaps
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.survey.planestate import PlaneState
from cosmodeep_hpc.survey.scheduler import SweepOptions
from cosmodeep_hpc.survey.task import ClassifyStripe, MeasureStripe, OpenMosaic, ReadChecksum
from cosmodeep_hpc.survey.worker import Worker

FILES = 8
"""Files that the images are, under several names each."""


def write_images(folder: Path, count: int, side: int) -> list[Path]:
    """Write images of side x side pixels; return their paths."""
    made = folder / "made"
    made.mkdir(parents=True)
    for number in range(min(count, FILES)):
        write_pair(made, number, side)
    files = sorted(made.glob("noise-*.fits"))
    images = [folder / f"image-{number:05d}.fits" for number in range(count)]
    for number, path in enumerate(images):
        os.link(files[number % len(files)], path)
    return images


def median(action: Callable[[], Any], rounds: int) -> float:
    """Return the seconds of a call, the median of some after a first one."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        jax.block_until_ready(action())
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


class Watched:
    """Maps on a device that keep what they were asked for last, and make none."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.asked: Any = None

    def __call__(self, *asked: Any) -> None:
        """Keep canvas and numbers."""
        self.asked = asked


class OneImage:
    """The first image of a plan on its way through a sweep, piece by piece in one thread."""

    def __init__(self, plan: SweepPlan) -> None:
        """Go on until its canvas is filled."""
        self._plan, self._maps = plan, Watched()
        self._worker = self._fresh()
        (self._info,) = self._worker.prepare(OpenMosaic(mosaic=0)).planes
        self._stripe, *others = self._info.layout.stripes(plan.config.classify.batch)
        if others:
            raise SystemExit("the image has several stripes: choose a smaller --side")
        self._measured = self._measure()
        scalings = self._decide().scalings_of(self._stripe)
        words = {"mosaic": 0, "plane": 0, "number": 0, "stripe": self._stripe}
        self._task = ClassifyStripe(**words, scalings=scalings, measured=True)
        self._worker.prepare(self._task)
        self.canvas, self.numbers = self._maps.asked

    def _fresh(self) -> Worker:
        prepare: Any = partial(devicestripe.prepare, self._maps)
        return Worker(self._plan, Nowhere(), prepare)

    def _measure(self) -> Any:
        task = MeasureStripe(mosaic=0, plane=0, number=0, stripe=self._stripe)
        return self._worker.prepare(task)

    def _decide(self) -> PlaneState:
        state = PlaneState(self._info, self._plan.config, self._plan.card, mapped=False)
        state.measured[0] = self._measured
        assert state.decide()
        return state

    def _fill(self) -> None:
        self._measure()  # what is read for it is kept
        self._worker.prepare(self._task)

    def pieces(self) -> dict[str, Callable[[], Any]]:
        """Return the work of the cores, by name."""
        return {
            "checksum": lambda: self._worker.prepare(ReadChecksum(mosaic=0)),
            "opening, robust noise": lambda: self._fresh().prepare(OpenMosaic(mosaic=0)),
            "reading, noise at all scales": self._measure,
            "reading, noise at all scales, canvas": self._fill,
            "deciding on the scaling": self._decide,
        }


def sweep(world: World, plan: SweepPlan, destination: Destination) -> float:
    """Sweep all images; return the seconds of the clock."""
    world.comm.Barrier()
    start = time.perf_counter()
    sweeping.sweep(plan, destination, world, SweepOptions(strict=True))
    world.comm.Barrier()
    return time.perf_counter() - start


def say(what: str, seconds: float) -> None:
    """Print a line of the table, for one image."""
    print(f"{what:44} {seconds * 1e3:9.2f} ms {1 / seconds:10.1f} images/s", flush=True)


def say_pieces(plan: SweepPlan, rounds: int) -> float:
    """Time the pieces of an image; return the seconds of the device for pixels that lie there."""
    blocks = plan.model.blocks
    assert isinstance(blocks, BlocksByJax)
    one, maps = OneImage(plan), DeviceMaps(blocks, plan.card)
    sent = maps.sent(one.canvas, one.numbers)
    alone = median(lambda: maps.started(sent, one.canvas.halo), rounds)
    say("the device: the program alone", alone)
    there = median(lambda: jax.device_get(maps(one.canvas, one.numbers)), rounds)
    say("the device, pixels sent and maps brought", there)
    for what, action in one.pieces().items():
        say(f"a core: {what}", median(action, rounds))
    return alone


def run(words: argparse.Namespace, world: World, folder: Path) -> None:
    """Time everything; a collective call."""
    made = world.on_root(lambda: write_images(folder, words.images, words.side))
    products = list(USUAL_PRODUCTS) if words.products else []
    products = list(USUAL_PRODUCTS) if words.products else []
    config = load(None, [("classify.products", json.dumps(products))])
    plan = SweepPlan.of(made, config, SweepRequest(model=words.model), world)
    alone = np.nan
    if world.is_root:
        threads = min(cores_of_rank(world), sweeping.MOST_THREADS)
        about = f"{jax.devices()[0].device_kind}, JAX {jax.__version__}"
        print(f"{about}; {world.size} ranks of {threads} threads")
        alone = say_pieces(plan, words.rounds)
    for number in range(words.rounds + 1):
        if words.products:
            out = folder / f"products-{number}"
            destination: Destination = ProductFolder(out, plan.config, restart=True)
        else:
            destination = Nowhere()
        seconds = sweep(world, plan, destination) / words.images
        if world.is_root and number:  # the first one compiles
            say("the sweep, files to " + ("products" if products else "maps"), seconds)
            print(f"  of that its programs alone take {100 * alone / seconds:.0f} %")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400, help="images of a sweep")
    parser.add_argument("--side", type=int, default=2000, help="of an image [pixel]")
    parser.add_argument("--model", default="robust", help="with a map of pixels")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each")
    parser.add_argument("--products", action="store_true", help="write them, too")
    parser.add_argument("--folder", type=Path, help="where a folder is made for a while")
    words = parser.parse_args()
    os.environ[ENGINE] = "jax"
    world = open_world()
    name = world.on_root(lambda: tempfile.mkdtemp(dir=words.folder))
    try:
        run(words, world, Path(name))
    finally:
        if world.is_root:
            shutil.rmtree(name)


if __name__ == "__main__":
    main()
