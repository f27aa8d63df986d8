"""`python -m benchmarks.map_speed`: how near a sweep to a map is to the bare network, and to NumPy.

    python3 -m venv ONNX && ONNX/bin/pip install onnxruntime onnx numpy
    python -m benchmarks.map_speed --onnx ONNX/bin/python        # one core, about 2 minutes
    python -m benchmarks.map_speed --model counts

Of an image of 2000 x 2000 pixels: the network over blocks that are ready, at all scales; ONNX
Runtime with the same weights over the same pixels, in the best of a few sizes of block, up to the
log-odds of pixels alone; the sweep from files to probabilities, and with its products. Then a
survey's own case, 8000 x 8000 pixels of 2 arcsec and a beam of 15 arcsec, beside what NumPy needs
to read it, average it as the sweep does, and take a median deviation.

All are timed in turn, round by round, in seconds of the processor; given is the best of each.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.ndimage import gaussian_filter

from benchmarks.images import NOISE, header_of, write_pair
from benchmarks.sweep import Onnx, save_weights, sweep
from cosmodeep_hpc.config.configuration import load
from cosmodeep_hpc.config.survey import USUAL_PRODUCTS
from cosmodeep_hpc.evaluation.fields import stripes
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.parallel.world import open_world
from cosmodeep_hpc.survey.mapstripe import MapStripe
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.survey.scales import FACTORS

SIDE = 2000
SURVEY, PIXEL, BEAM = 8000, 2.0, 15.0  # pixels, arcsec, arcsec
BLOCKS = (256, 512, 1024)  # of ONNX Runtime


def write_survey(path: Path) -> None:
    """Write noise through the beam, in a survey's own pixels."""
    noise = np.random.default_rng(1).normal(size=(SURVEY, SURVEY)).astype(np.float32)
    noise = gaussian_filter(noise, BEAM / PIXEL / 2.3548, mode="wrap")
    header = header_of(SURVEY, PIXEL, BEAM)
    fits.PrimaryHDU(noise * np.float32(NOISE / noise.std()), header).writeto(path)


def by_numpy(path: Path, block: int) -> float:
    """Read an image, average it, and return the median absolute deviation of the averages."""
    with fits.open(path, memmap=False) as file:
        pixels = file[0].data.astype(np.float32)
    ny, nx = (side // block for side in pixels.shape)
    mean = pixels[: ny * block, : nx * block].reshape(ny, block, nx, block).mean(axis=(1, 3))
    return float(np.median(np.abs(mean - np.median(mean))))


def ready(model: TrainedModel, path: Path) -> list[MapStripe]:
    """Return the stripes of an image, ready for the network."""
    plan = SweepPlan(
        images=(path,),
        model=model,
        model_sha256="",
        config=load(None, []),
        request=SweepRequest(),
    )
    return list(stripes(plan))


def see(model: TrainedModel, given: list[MapStripe]) -> None:
    """Let the network see stripes, and forget what it says."""
    assert model.blocks is not None
    for stripe in given:
        for _ in stripe.parts(model.blocks):
            pass


def by_onnx(onnx: Onnx, block: int) -> float:
    """Return the seconds that ONNX Runtime needs for an image at all scales.

    Of blocks of one shape at each scale, and as many as the scale has, cut ones in parts.
    """
    total = 0.0
    for factor in FACTORS:
        side = SIDE // factor
        one = min(block, -(-side // 8) * 8)
        total += float(onnx.ask(f"block {one} 3")) * (side / one) ** 2
    return total


def main() -> None:
    """Time all ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onnx", type=Path, help="an interpreter that has onnxruntime and onnx")
    parser.add_argument("--model", default="robust", help="a model that knows pixels")
    parser.add_argument("--images", type=int, default=3, help="images of a sweep")
    parser.add_argument("--rounds", type=int, default=4, help="timings of each, in turn")
    words = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    print(f"one core, load {os.getloadavg()[0]:.1f}", flush=True)
    world, model = open_world(), modelfile.load(words.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(words.images):
            write_pair(folder, number, SIDE)
        images = sorted(folder.glob("noise-*.fits"))
        survey = folder / "survey.fits"
        write_survey(survey)
        given, rebin = ready(model, images[0]), round(model.card.pixel_scale / PIXEL)
        actions: dict[str, tuple[Callable[[Path], object], int]] = {
            "network, blocks held in memory": (lambda _: see(model, given), 1),
            "survey image, NumPy": (lambda _: by_numpy(survey, rebin), 1),
        }
        few = [kind for kind in USUAL_PRODUCTS if kind != "picture"]
        for what, products in (
            ("files to probabilities", []),
            ("products but the picture", few),
            ("products written", list(USUAL_PRODUCTS)),
        ):
            of_images = partial(sweep, world, model, images, products=products)
            actions[f"sweep, {what}"] = of_images, words.images
        actions["survey image, files to probabilities"] = (
            partial(sweep, world, model, [survey], products=[]),
            1,
        )
        onnx = None
        if words.onnx:
            save_weights(model, folder / "weights.npz")
            onnx = Onnx(words.onnx, folder / "weights.npz", 1, cpu=True)
        times: dict[str, list[float]] = {}
        for round_ in range(words.rounds + 1):
            for what, (action, count) in actions.items():
                with tempfile.TemporaryDirectory() as out:
                    start = time.process_time()
                    action(Path(out))
                    seconds = (time.process_time() - start) / count
                if round_:  # the first one compiles
                    times.setdefault(what, []).append(seconds)
            for block in BLOCKS if onnx and round_ else ():
                times.setdefault(f"ONNX Runtime, blocks of {block}", []).append(
                    by_onnx(onnx, block)
                )
        if onnx:
            print(f"ONNX Runtime {onnx.version}")
            onnx.close()
    best = {what: min(taken) for what, taken in times.items()}
    for what, seconds in best.items():
        rate = f"{seconds / SIDE**2 * 1e9:7.1f} ns a pixel" if "survey" not in what else ""
        print(f"{what:40} {seconds * 1e3:8.1f} ms {rate}")
    if onnx:
        theirs = min(seconds for what, seconds in best.items() if what.startswith("ONNX"))
        print(f"the network's speed is {theirs / best['network, blocks held in memory']:.2f} times")
    ratio = best["survey image, files to probabilities"] / best["survey image, NumPy"]
    print(f"a survey image takes {ratio:.2f} times what NumPy takes")


if __name__ == "__main__":
    main()
