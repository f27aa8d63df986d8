"""Source finders of others, each run in its own process, which cannot hang ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.quiet import quiet

IMAGE, TASK, MASKS, DONE, LOG = "image.fits", "task.json", "masks", "done.json", "log"
"""Files of the folder in which a finder works."""
PACKAGES = {
    "pybdsf": ("bdsf", "bdsf"),
    "wavelets": ("bdsf", "bdsf"),
    "aegean": ("AegeanTools", "AegeanTools"),
    "continunet": ("continunet", "continunet"),
}
"""The module that each finder needs, and its name for `pip install`."""
LAUNCHERS = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_LOCAL", "HYDRA_", "I_MPI_", "HOROVOD_")
"""Variables by which a child process would take itself for its parent's rank; it gets none of them.
"""
GRACE = 5.0  # seconds between asking a finder to end and ending it


@dataclass(frozen=True, kw_only=True)
class FinderTask:
    """The task of a finder.

    Attributes:
        thresholds: of its islands, in units of the noise; each is a run of its own.
        rms: constant noise of the image [Jy/beam].
        min_pixels: least pixels of an island, if the finder has such an option.
        flood: where islands end, over `thresholds`, if the finder has such an option.
        peak: threshold on an island's peak in units of the noise, if the finder has such an option.
        seconds: time limit for all thresholds together.
    """

    thresholds: tuple[float, ...]
    rms: float
    min_pixels: int = 1
    flood: float = 1.0
    peak: float = 0.0
    seconds: float = 900.0


@dataclass(frozen=True)
class Found:
    """The islands that a finder found in an image.

    Attributes:
        thresholds: of the task.
        seconds: of each threshold; work for all thresholds counts for the first.
        version: of the finder.
    """

    thresholds: tuple[float, ...]
    seconds: tuple[float, ...]
    version: str
    shape: tuple[int, int]
    _packed: NDArray[np.uint8]

    def mask(self, threshold: float) -> NDArray[np.bool_]:
        """Return which pixels are in an island at one of the thresholds: bool (ny, nx)."""
        bits = self._packed[self.thresholds.index(threshold)]
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(bits, count=count).reshape(self.shape).astype(np.bool_)


class FinderError(Exception):
    """A finder failed on an image, or took too long; the text is one line."""


def missing(names: Sequence[str]) -> dict[str, str]:
    """Return the finders that are not installed, each with a line that says so."""
    return {
        name: f"{name}: not installed, it is left out; `pip install {package}` brings it"
        for name, (module, package) in PACKAGES.items()
        if name in names and find_spec(module) is None
    }


def find(name: str, image: Image, pixels: NDArray[np.float32], task: FinderTask) -> Found:
    """Return the islands of an image.

    Args:
        name: of the finder, one of PACKAGES.
        image: gives coordinates and beam.
        pixels: float32 (ny, nx) [Jy/beam], NaN without data.
        task: the finder's task.

    Raises:
        FinderError: it failed, or exceeded its time limit.
        InputError: the temporary folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="cosmodeep-") as place:
        folder = Path(place)
        try:
            fits.PrimaryHDU(pixels, _header(image)).writeto(folder / IMAGE)
            (folder / TASK).write_text(json.dumps(asdict(task)), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{folder}: cannot write in it: {error}; set TMPDIR") from error
        _run(name, folder, task.seconds)
        try:
            done = json.loads((folder / DONE).read_text(encoding="utf-8"))
            packed = np.fromfile(folder / MASKS, np.uint8).reshape(len(task.thresholds), -1)
        except (OSError, ValueError) as error:
            raise FinderError(f"{name}: left no result ({_last_line(folder / LOG)})") from error
    shape = (int(image.shape[0]), int(image.shape[1]))
    return Found(task.thresholds, tuple(done["seconds"]), done["version"], shape, packed)


def beam_of(image: Image) -> Beam:
    """Return the beam of an image, or one pixel if it has none."""
    return image.beam or Beam(image.pixel_scale, image.pixel_scale)


def _header(image: Image) -> fits.Header:
    """Return the header that a finder needs for an image in Jy/beam."""
    beam = beam_of(image)
    with quiet():
        header = image.wcs.celestial.to_header()
    header["BMAJ"], header["BMIN"], header["BPA"] = beam.major / 3600, beam.minor / 3600, beam.angle
    header["BUNIT"] = "JY/BEAM"
    return header


def command(name: str, folder: Path) -> list[str]:
    """Return the command line of a finder's own process."""
    return [sys.executable, "-m", f"cosmodeep_hpc.comparison.{name}", str(folder)]


def _run(name: str, folder: Path, seconds: float) -> None:
    """Run a finder's process to its end, or end it with all processes that it started."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    path = os.pathsep.join(p for p in sys.path if p)
    changed = {"PYTHONPATH": path, "MPI4PY_RC_INITIALIZE": "0", "MPLBACKEND": "Agg", **threads}
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            command(name, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**kept, **changed},
            start_new_session=True,
        )
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise FinderError(_too_long(name, seconds)) from error
    finally:
        _end(process)
    if status == -signal.SIGALRM:
        raise FinderError(_too_long(name, seconds))
    if status < 0:
        raise FinderError(f"{name}: ended by {signal.Signals(-status).name}")
    if status:
        raise FinderError(f"{name}: {_last_line(folder / LOG)}")


def _too_long(name: str, seconds: float) -> str:
    return f"{name}: not done after {seconds:g} s; raise compare.seconds"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a finder and its remaining processes; first let it clean up after itself."""
    for signal_, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _last_line(log: Path) -> str:
    """Return the last line of a finder's log that says something."""
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in reversed(lines):
            if line.strip():
                return " ".join(line.split())[:300]
    return "without a word"


def work(arguments: Sequence[str], islands: Any) -> None:
    """Do the work of the finder's own process: read the task, find, write the result.

    Args:
        arguments: the folder.
        islands: called with (path of the image, task); yields a version, then for each threshold
            the mask of its islands, bool (ny, nx), and the seconds it took.
    """
    folder = Path(arguments[0])
    content = json.loads((folder / TASK).read_text(encoding="utf-8"))
    task = FinderTask(**{**content, "thresholds": tuple(content["thresholds"])})
    # if our parent is gone, nobody else ends us
    signal.alarm(int(task.seconds) + 2)
    steps = islands(folder / IMAGE, task)
    version = next(steps)
    packed, seconds = [], []
    for mask, took in steps:
        packed.append(np.packbits(mask))
        seconds.append(took)
    np.stack(packed).tofile(folder / MASKS)
    (folder / DONE).write_text(json.dumps({"seconds": seconds, "version": version}))
