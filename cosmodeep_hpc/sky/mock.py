"""The stage `mock`: boxes of shock elements, then pairs of Sky and Noise images."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.files import make_folder, replacing
from cosmodeep_hpc.sky import box, instrument, lightcone
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.emission import Amplitude, element_power, flux
from cosmodeep_hpc.sky.shocks import Elements
from cosmodeep_hpc.world import World

FORMAT = 1
"""Raise it when the same configuration would give other images."""
Progress = Callable[..., None]
"""Called with (images done, images in all, a short note)."""


def run(
    config: Config,
    out: Path,
    images: int,
    world: World,
    first: int = 0,
    progress: Progress | None = None,
) -> None:
    """Make the pairs `first` to `first + images - 1` in `out`; a collective call.

    Boxes and pairs that are there already, made by the same `sky` and `instrument` sections, are
    kept, so that a killed run continues. A pair depends on these sections and its index alone.

    Args:
        config: the configuration; it is written to `config.json`.
        out: folder of `boxes/box-SEED.h5`, `sky-00000.fits` and `noise-00000.fits`.
        images: number of pairs.
        world: the ranks, which draw boxes and pairs from a queue.
        first: index of the first pair.
        progress: called on rank 0 as work goes on.

    Raises:
        InputError: a pair in `out` is from another configuration, or `out` cannot be written.
    """
    workers = max(1, len(os.sched_getaffinity(0)) // world.local_size)
    tell = progress if progress is not None and world.is_root else _silent
    folder = out / "boxes"
    boxes = box.recipes(config.sky)

    def prepare() -> tuple[list[int], list[int]]:
        make_folder(out)
        make_folder(folder)
        pairs = [i for i in range(first, first + images) if not _is_made(config, out, i)]
        config.write(out / "config.json")
        missing = [i for i, b in enumerate(boxes) if not box.is_made(box.path_of(folder, b), b)]
        return (missing if pairs else []), pairs

    missing, pairs = world.on_root(prepare)
    for number in world.queue(len(missing)):
        recipe = boxes[missing[number]]
        title = f"box {number + 1} of {len(missing)}"

        def step(done: int, total: int, title: str = title) -> None:
            tell(0, len(pairs), f"{title}, step {done} of {total}")

        box.make(box.path_of(folder, recipe), recipe, workers, step)
    world.comm.Barrier()
    painter = Painter(config, folder)
    for number in world.queue(len(pairs)):
        _make_pair(config, out, pairs[number], painter, workers)
        tell(min(number + 1, len(pairs) - 1), len(pairs))
    world.comm.Barrier()
    tell(len(pairs), len(pairs))


def _silent(done: int, total: int, note: str = "") -> None:
    """Progress that nobody asked for."""


class Painter:
    """Paints Sky images; keeps what it has read of the boxes, and the powers of their elements."""

    def __init__(self, config: Config, folder: Path) -> None:
        """Take the boxes of `folder`, which are read when first needed."""
        sky = config.sky
        self.config = config
        self.folder = folder
        self.boxes = box.recipes(sky)
        self.slabs = lightcone.stack(sky.z_near, sky.z_far, sky.box)
        self.amplitude = Amplitude(
            sky.efficiency, sky.mach_cut, sky.field, sky.field_exponent, sky.field_limit
        )
        margin = int(np.ceil(5 * sky.blur / lightcone.FWHM / config.instrument.pixel_scale)) + 1
        self.view = lightcone.View(config.instrument.pixels, config.instrument.pixel_scale, margin)
        self._elements: dict[tuple[int, float], Elements] = {}
        self._powers: dict[tuple[int, int], NDArray[np.float32]] = {}

    def elements(self, number: int, redshift: float) -> Elements:
        """The elements of a box's snapshot that are not too faint to matter."""
        key = (number, redshift)
        if key not in self._elements:
            recipe = self.boxes[number]
            every = box.read(box.path_of(self.folder, recipe), recipe, redshift)
            self._elements[key] = every[np.flatnonzero(self._brightness(every, redshift))]
        return self._elements[key]

    def _brightness(self, elements: Elements, redshift: float) -> NDArray[np.bool_]:
        """Whether an element, seen face on, is at least as bright as `sky.faintest`."""
        redshift = max(redshift, self.config.sky.z_near)
        power = element_power(elements, redshift, self.config.instrument.frequency, self.amplitude)
        distance = float(lightcone.comoving_distance(redshift))
        light = flux(power, elements.mach, redshift, distance)
        angle = elements.area / (distance * lightcone.ARCSEC) ** 2
        return np.asarray(light >= self.config.sky.faintest * angle)

    def power(self, number: int, slab: lightcone.Slab, elements: Elements) -> NDArray[np.float32]:
        """Powers of a box's elements in a slab at the observed frequency [erg/s/Hz]."""
        key = (number, slab.number)
        if key not in self._powers:
            power = element_power(
                elements, slab.redshift, self.config.instrument.frequency, self.amplitude
            )
            self._powers[key] = power.astype(np.float32)
        return self._powers[key]

    def paint(self, index: int) -> NDArray[np.float32]:
        """The Sky image `index`, float32 (pixels, pixels) [Jy/arcsec^2]."""
        sky = self.config.sky
        light = np.zeros((self.view.full, self.view.full))
        for slab in self.slabs:
            turned = lightcone.orientation(sky.seed, index, slab.number, len(self.boxes))
            redshift = min(sky.snapshots, key=lambda z: abs(z - slab.redshift))
            elements = self.elements(turned.box, redshift)
            power = self.power(turned.box, slab, elements)
            stream = draws(sky.seed, Purpose.SAMPLES, index, slab.number)
            for part in lightcone.slab_fluxes(elements, power, slab, turned, self.view):
                lightcone.spread(light, *part, stream)
        return lightcone.blurred(light, self.view, sky.blur)


def config_digest(config: Config) -> str:
    """What tells the images of this configuration from others."""
    return box.digest([asdict(config.sky), asdict(config.instrument), FORMAT])


def pair_paths(out: Path, index: int) -> tuple[Path, Path]:
    """The Sky and the Noise image of an index."""
    return out / f"sky-{index:05d}.fits", out / f"noise-{index:05d}.fits"


def _is_made(config: Config, out: Path, index: int) -> bool:
    """Whether the pair is there, whole.

    Raises:
        InputError: one of its files is from another configuration, or not an image of ours.
    """
    made = 0
    for path in pair_paths(out, index):
        if not path.exists():
            continue
        with naming(path):
            found = fits.getheader(path).get("CONFIG")
        if found != config_digest(config):
            raise InputError(
                f"{path}: made by another configuration ({found or 'unknown'}, expected "
                f"{config_digest(config)}); choose another --out, or remove it"
            )
        made += 1
    return made == 2


def _make_pair(config: Config, out: Path, index: int, painter: Painter, workers: int) -> None:
    """Paint, observe and write one pair; the Noise image last."""
    sky = painter.paint(index)
    stream = draws(config.sky.seed, Purpose.NOISE, index)
    noise = instrument.observe(sky, config.instrument, stream, workers)
    for path, image in zip(pair_paths(out, index), (sky, noise), strict=True):
        header = _header(config, index, observed=image is noise)
        with replacing(path) as temporary:
            fits.PrimaryHDU(image, header).writeto(temporary)


def _header(config: Config, index: int, *, observed: bool) -> fits.Header:
    """The header of an image: unit, coordinates, beam, and where it comes from."""
    settings = config.instrument
    centre = instrument.field_centre(config.sky.seed, index)
    wcs = instrument.celestial_wcs(settings.pixels, settings.pixel_scale, centre)
    header = wcs.to_header()
    entries: dict[str, tuple[Any, str]] = {
        "BUNIT": ("Jy/arcsec2", "surface brightness"),
        "RADESYS": ("ICRS", "equatorial coordinate system"),
        "EQUINOX": (2000.0, "[yr] equinox of equatorial coordinates"),
        "FREQ": (settings.frequency * 1e9, "[Hz] observing frequency"),
        "RESTFRQ": (settings.frequency * 1e9, "[Hz] the same, where readers look for it"),
    }
    if observed:
        beam = instrument.beam_of(settings)
        entries |= {
            "BMAJ": (beam.major / 3600, "[deg] major axis of the beam, FWHM"),
            "BMIN": (beam.minor / 3600, "[deg] minor axis of the beam, FWHM"),
            "BPA": (beam.angle, "[deg] position angle of the beam"),
            "NOISERMS": (
                float(beam.per_arcsec2(settings.noise_rms * instrument.MICRO)),
                "[Jy/arcsec2] rms of the noise",
            ),
        }
    entries |= {
        "OBJECT": (f"mock {index:05d}", "simulated sky"),
        "SEED": (config.sky.seed, "seed of the images"),
        "INDEX": (index, "number of the image"),
        "CONFIG": (config_digest(config), "digest of the sky and instrument options"),
        "CREATOR": (f"cosmodeep_hpc {__version__}", "program that made the image"),
    }
    for key, entry in entries.items():
        header[key] = entry
    return header
