"""The stage `mock`: boxes of shock elements, then pairs of Sky and Noise images."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from astropy.io import fits

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import make_folder, read_json, replacing
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.parallel import locks
from cosmodeep_hpc.parallel.world import World, rank_range
from cosmodeep_hpc.sky import box, halocatalog, instrument, statistics, summary
from cosmodeep_hpc.sky.draws import TEST_IMAGES
from cosmodeep_hpc.sky.effects import observation
from cosmodeep_hpc.sky.effects.observation import Cards
from cosmodeep_hpc.sky.paint import Painter
from cosmodeep_hpc.sky.recipes import Recipe, particle_meshes, simulations
from cosmodeep_hpc.sky.simulation.loading import load
from cosmodeep_hpc.sky.summary import paths_of as paths

logger = logging.getLogger(__name__)

FORMAT = 2
"""Raise it when the same configuration would give other images."""
SECTIONS = ("sky", "instrument", "effects")
"""Sections of the configuration that images depend on."""


def run(
    config: Config,
    out: Path,
    images: int,
    world: World,
    first: int = 0,
    progress: Progress = silent,
    *,
    test: bool = False,
    simulation: Sequence[Path] = (),
    part: tuple[int, int] = (0, 1),
) -> None:
    """Make the pairs `first` to `first + images - 1` in `out`, and their summary; collective.

    Existing boxes and pairs of the same `sky`, `instrument` and `effects` sections are kept, so
    that a killed run continues. A pair depends on these sections and its index alone. Several jobs
    may work in one folder: each box is made by one of them.

    Args:
        config: the configuration; it is written to `config.json`.
        out: folder of `boxes/`, `sky-00000.fits`, `noise-00000.fits` and `halos-00000.fits`.
        images: number of pairs; with 0, only the boxes are made.
        world: the ranks, which draw boxes and pairs from a queue.
        first: index of the first pair.
        progress: called on rank 0 with images done, or with boxes if no image is made.
        test: make a sky to test on: from the boxes of `sky.test_seeds`, or from the same
            `simulation`, with other noise, turned otherwise and elsewhere on the sky.
        simulation: outputs of another simulation, in place of the built-in one.
        part: number of the part to make, and of equal parts: (0, 4) is the first of 4.

    Raises:
        InputError: a simulation cannot be used, an effect cannot be made, a pair in `out` is from
            another configuration, or `out` cannot be written.
    """
    workers = max(1, len(os.sched_getaffinity(0)) // world.local_size)
    report = progress if world.is_root else silent
    folder = out / "boxes"
    asked = range(first, first + images)
    own = [asked[i] for i in rank_range(images, *part)]

    def prepare() -> tuple[list[Recipe], list[int], list[int]]:
        observation.check(config)
        recipes, notes = _recipes(config, simulation, test=test, report=report)
        for line in notes:
            logger.warning("%s", line)
        mark = config_digest(config, recipes)
        make_folder(out)
        make_folder(folder)
        for path in islice(out.glob("sky-*.fits"), 1):  # all are from one configuration
            _is_made(mark, path, config)
        pairs = [i for i in own if not _is_whole(mark, out, i, config)]
        config.write(out / "config.json")
        if images:
            summary.ask(out, asked)
        missing = [
            i for i, r in enumerate(recipes) if not box.is_made(_box_path(folder, r), r.digest)
        ]
        for recipe in recipes:  # the lock on a made box outlives a process that was killed
            if locks.lock_of(path := _box_path(folder, recipe)).exists():
                with locks.locked(path):
                    pass
        return recipes, (missing if pairs or not images else []), pairs

    recipes, missing, pairs = world.on_root(prepare)
    total = len(pairs) if images else len(missing)
    wanted = [_box_path(folder, recipes[i]) for i in missing]

    def make_box(number: int) -> None:
        recipe = recipes[missing[number]]
        title = f"box {number + 1} of {len(missing)} ({recipe.name})"

        def step(done: int, steps: int) -> None:
            report(0 if images else number, total, f"{title}, step {done} of {steps}")

        recipe.make(wanted[number], workers, step)

    failure = None
    try:
        locks.make_each_once(
            wanted,
            lambda number: box.is_made(wanted[number], recipes[missing[number]].digest),
            make_box,
            lambda text: report(0, max(total, 1), text),
        )
    except InputError as error:
        failure = error
    world.agree(failure)
    if pairs:
        boxes = world.on_root(
            lambda: [box.opened(_box_path(folder, recipe), recipe.digest) for recipe in recipes]
        )
        maker = _Maker(config, out, Painter(config, boxes), config_digest(config, recipes), test)

        def make_pair(number: int) -> None:
            maker.make(pairs[number], workers)

        world.map(make_pair, total, lambda done, total: report(min(done, total - 1), total))
    if own:

        def sum_up(done: int, count: int, text: str) -> None:
            report(max(total - 1, 0), max(total, 1), f"{text} {done} of {count}")

        summary.run(config, out, world, sum_up, own=None if part == (0, 1) else own)
    report(total, total)


def _recipes(
    config: Config, simulation: Sequence[Path], *, test: bool, report: Progress
) -> tuple[list[Recipe], list[str]]:
    """Return the recipes of the boxes, and notes on the simulation's outputs if there are any."""
    if not simulation:
        return particle_meshes(config.sky, test=test), []
    grids = []
    for number, path in enumerate(simulation):
        report(0, 1, f"reading {path.name}, {number + 1} of {len(simulation)}")
        grids.append((path, load(path)))
    notes = dict.fromkeys(line for _, grid in grids for line in grid.notes)
    return simulations(config.sky, grids), list(notes)


def _box_path(folder: Path, recipe: Recipe) -> Path:
    return folder / f"{recipe.name}.h5"


def config_digest(config: Config, recipes: Sequence[Recipe]) -> str:
    """Return a digest that identifies the images of this configuration and these boxes."""
    sections = [asdict(getattr(config, section)) for section in SECTIONS]
    return box.digest([sections, [recipe.digest for recipe in recipes], FORMAT])


def _is_whole(mark: str, out: Path, index: int, config: Config) -> bool:
    """Return whether the pair of an index and its halos exist, see `_is_made`."""
    return sum([_is_made(mark, path, config) for path in paths(out, index)]) == 3


def _is_made(mark: str, path: Path, config: Config) -> bool:
    """Return whether a complete file exists.

    Args:
        mark: `config_digest` of the configuration that it must be from.
        path: of the file.
        config: that configuration.

    Raises:
        InputError: it is from another configuration, or not from this program.
    """
    if not path.exists():
        return False
    with naming(path):
        found = fits.getheader(path, 0).get("CONFIG")
    if found != mark:
        raise InputError(
            f"{path}: made by another configuration: {_changes(path.parent, config)}; choose "
            "another --out, or remove it"
        )
    return True


def _changes(out: Path, config: Config) -> str:
    """Return what differs from the configuration that a folder's `config.json` keeps."""
    kept = out / "config.json"
    earlier = read_json(kept) if kept.exists() else None
    if not isinstance(earlier, dict):
        return f"which one {kept} does not say"
    options = []
    for section in SECTIONS:
        now = json.loads(json.dumps(asdict(getattr(config, section))))
        before = earlier.get(section)
        before = before if isinstance(before, dict) else {}
        options += [
            f"{section}.{name} {before.get(name, 'unknown')}, now {now.get(name, 'without')}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        ]
    same = "the same options, but boxes of another --simulation, --test or version of the program"
    return ", ".join(options) or same


class _Maker:
    """Makes pairs."""

    def __init__(self, config: Config, out: Path, painter: Painter, mark: str, test: bool) -> None:
        self.config, self.out, self.painter, self.mark = config, out, painter, mark
        self.test = test

    def make(self, index: int, workers: int) -> None:
        """Paint, observe and write one pair and its halos; the Noise image last."""
        config, settings = self.config, self.config.instrument
        address = index + TEST_IMAGES * self.test
        sky = self.painter.paint(address)
        noise, cards = observation.observe(sky, config, address, workers)
        centre = instrument.field_centre(config.sky.seed, address)
        wcs = instrument.celestial_wcs(settings.pixels, settings.pixel_scale, centre)
        halos = self.painter.halos(address, wcs)
        halos.meta["INDEX"] = index
        catalogue, sky_path, noise_path = paths(self.out, index)
        halocatalog.write(catalogue, halos, self._origin(index))
        for path, image in ((sky_path, sky), (noise_path, noise)):
            header = wcs.to_header()
            entries = _image_cards(config)
            if image is noise:
                entries |= _observation_cards(config) | cards
            for key, entry in (entries | self._origin(index)).items():
                header[key] = entry
            with replacing(path) as temporary:
                fits.PrimaryHDU(image, header).writeto(temporary)
        measured = statistics.measure(
            sky,
            noise,
            index=index,
            config=self.mark,
            rule=statistics.CountingRule.of(config.tiles),
            pixel_scale=settings.pixel_scale,
            halos=len(halos),
        )
        statistics.write(self.out, measured)

    def _origin(self, index: int) -> Cards:
        """Return the header entries about a file's origin."""
        return {
            "OBJECT": (f"mock {index:05d}", "simulated sky"),
            "SPLIT": ("test" if self.test else "train", "the two share no random number"),
            "SEED": (self.config.sky.seed, "seed of the images"),
            "INDEX": (index, "number of the image"),
            "CONFIG": (self.mark, "digest of the options and boxes"),
            "CREATOR": (f"cosmodeep_hpc {__version__}", "program that made the file"),
        }


def _image_cards(config: Config) -> Cards:
    """Return the header entries about an image's unit, coordinates and frequency."""
    hertz = config.instrument.frequency * 1e9
    return {
        "BUNIT": ("Jy/arcsec2", "surface brightness"),
        "RADESYS": ("ICRS", "equatorial coordinate system"),
        "EQUINOX": (2000.0, "[yr] equinox of equatorial coordinates"),
        "FREQ": (hertz, "[Hz] observing frequency"),
        "RESTFRQ": (hertz, "[Hz] the same, where readers look for it"),
    }


def _observation_cards(config: Config) -> Cards:
    """Return the header entries about a Noise image's beam and noise."""
    beam = instrument.beam_of(config.instrument)
    rms = float(beam.per_arcsec2(config.instrument.noise_rms * instrument.MICRO))
    return {
        "BMAJ": (beam.major / 3600, "[deg] major axis of the beam, FWHM"),
        "BMIN": (beam.minor / 3600, "[deg] minor axis of the beam, FWHM"),
        "BPA": (beam.angle, "[deg] position angle of the beam"),
        "NOISERMS": (rms, "[Jy/arcsec2] rms of the noise"),
    }
