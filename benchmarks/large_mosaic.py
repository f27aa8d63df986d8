"""`python -m benchmarks.large_mosaic`: a mosaic of 20,000 x 20,000 pixels, its time and its memory.

    python -m benchmarks.large_mosaic --folder FOLDER                       # 5 GB of disk
    mpirun -np 2 --bind-to none python -m mpi4py -m benchmarks.large_mosaic --folder FOLDER
    python -m benchmarks.large_mosaic --folder FOLDER --side 100000 --filled 4000     # 2 GB of disk
    python -m benchmarks.large_mosaic --folder FOLDER --ring --model robust     # one island, 5 GB

Noise with sources is written once, then swept with the paper's network, or another `--model`. Given
are the tiles a second, products included, and the most memory that a rank has held; beside it that
of a rank which has loaded the model, and nothing more. With `--filled` only as many rows in the
middle have pixels; the others are a hole in the file, which reads as 0, no data, and takes no disk;
the mask is then packed. With `--ring` a ring as wide as the mosaic is in the noise, in place of
sources: for a network that knows pixels an island that all stripes have parts of.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import load
from cosmodeep_hpc.config.survey import PAPERS_MODEL
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.parallel.world import World, open_world
from cosmodeep_hpc.products.folder import ProductFolder, classify_into
from cosmodeep_hpc.survey.plan import SweepRequest

PIXEL, NOISE = 9.6, 0.88e-7  # arcsec, Jy/arcsec^2: those of the model's training
RING = 7.0  # width of the ring, standard deviation [pixel]
BLOCK = 2000  # rows of noise that are made once and shifted


def write_mosaic(path: Path, side: int, filled: int, *, ring: bool) -> None:
    """Write noise and round sources, or a ring, in `filled` rows of `side` x `side` pixels.

    They are streamed.
    """
    random = np.random.default_rng(1)
    block = min(BLOCK, BLOCK * 20000 // side)
    rows = random.normal(0, NOISE, (block, side)).astype(">f4")
    y, x = np.mgrid[-30:31, -30:31]
    source = 5 * NOISE * np.exp(-(x**2 + y**2) / (2 * 9.0**2))
    for _ in range(0 if ring else side // 200):
        row, col = random.integers(40, block - 40), random.integers(40, side - 40)
        rows[row - 30 : row + 31, col - 30 : col + 31] += source
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, -32, 2
    header["NAXIS1"] = header["NAXIS2"] = side
    for axis, kind, sign in ((1, "RA---SIN", -1), (2, "DEC--SIN", 1)):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = kind, "deg"
        header[f"CRPIX{axis}"] = (side + 1) / 2
        header[f"CDELT{axis}"] = sign * PIXEL / 3600
        header[f"CRVAL{axis}"] = 30.0 if axis == 1 else -30.0
    header["RADESYS"], header["BUNIT"] = "ICRS", "Jy/arcsec2"
    header["BMAJ"] = header["BMIN"] = 10 / 3600
    with replacing(path) as temporary:
        text = header.tostring().encode("ascii")
        size = len(text) + 4 * side * side
        with temporary.open("wb") as file:
            file.write(text)
            file.seek(4 * side * ((side - filled) // 2), os.SEEK_CUR)
            for first in range(0, filled, block):
                some = np.roll(rows, 37 * first // block, axis=1)[: filled - first]
                if ring:
                    some = some + ring_in(side, (side - filled) // 2 + first, len(some))
                file.write(some.astype(">f4", copy=False).tobytes())
            file.truncate(-(-size // 2880) * 2880)


def ring_in(side: int, first: int, rows: int) -> NDArray[np.float32]:
    """Return rows of a ring of 8 times the noise, which leaves a twentieth of each side free."""
    y, x = np.ogrid[first : first + rows, :side]
    away = np.hypot(y - side / 2, x - side / 2).astype(np.float32) - np.float32(0.45 * side)
    return (8 * NOISE * np.exp(-((away / RING) ** 2) / 2)).astype(np.float32)


def held() -> float:
    """Return the most memory that this process has held [GiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(words: argparse.Namespace, world: World) -> None:
    """Sweep the mosaic; a collective call."""
    filled = words.side if words.filled is None else words.filled
    ending = ("-ring" if words.ring else "") + ("" if filled == words.side else f"-{filled}")
    path = words.folder / f"mosaic-{words.side}{ending}.fits"
    if world.is_root and not path.exists():
        words.folder.mkdir(parents=True, exist_ok=True)
        # in a process of its own: its memory is not the sweep's
        writer = get_context("spawn").Process(
            target=write_mosaic, args=(path, words.side, filled), kwargs={"ring": words.ring}
        )
        writer.start()
        writer.join()
    world.comm.Barrier()
    modelfile.load_on_ranks(words.model, world=world)
    before, start = held(), time.perf_counter()
    config = load(None, [("classify.compress_mask", str(filled < words.side).lower())])
    out = words.folder / "products"
    folder = ProductFolder(out, config, restart=True)
    done = classify_into(folder, [path], SweepRequest(model=words.model), world)
    seconds = time.perf_counter() - start
    each = world.comm.gather((before, held()))
    if each is None or not done:
        return
    size = path.stat().st_size / 2**30
    print(f"{words.side} x {words.side} pixels, {size:.2f} GiB, {world.size} ranks")
    cells = done[0].cells
    rate = f"{cells / seconds:.0f} tiles/s"
    print(f"{cells} tiles in {seconds:.0f} s, products included: {rate}")
    print(f"islands: {done[0].islands}")
    for rank, (loaded, most) in enumerate(each):
        print(f"rank {rank}: {most:.2f} GiB at most; {loaded:.2f} with the model loaded")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="of mosaic and products")
    parser.add_argument("--side", type=int, default=20000, help="of the mosaic in pixels")
    parser.add_argument("--filled", type=int, help="rows of it with pixels; all, if not given")
    parser.add_argument("--ring", action="store_true", help="in place of sources")
    parser.add_argument("--model", default=PAPERS_MODEL, help="run folder, file or shipped name")
    run(parser.parse_args(), open_world())


if __name__ == "__main__":
    main()
