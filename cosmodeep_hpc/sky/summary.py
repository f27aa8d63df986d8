"""A summary of a folder of mock images: signal tiles beside the paper's, fluxes, pictures."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import make_folder, read_json, replacing, write_json
from cosmodeep_hpc.io.progress import Progress
from cosmodeep_hpc.parallel.locks import in_turn
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.sky import statistics
from cosmodeep_hpc.sky.occupancy import PAPER
from cosmodeep_hpc.sky.statistics import CountingRule, Statistics

logger = logging.getLogger(__name__)

PAPER_IMAGE = {"pixels": (2000, 2000), "pixel_scale": 9.6, "tile": 40}
"""The images and tiles that these numbers are for."""
QUANTITIES = {
    "sky_min": "Jy/arcsec^2",
    "sky_max": "Jy/arcsec^2",
    "sky_flux": "Jy",
    "noise_min": "Jy/arcsec^2",
    "noise_max": "Jy/arcsec^2",
    "noise_rms": "Jy/arcsec^2",
    "halos": "",
}
"""Single numbers measured of each pair, and their units."""
ASKED = "asked.json"
SKY_NAME = re.compile(r"sky-(\d{5,})\.fits")


@dataclass(frozen=True)
class Spread:
    """The distribution of a quantity over the images; one image alone has no scatter."""

    mean: float
    scatter: float | None
    standard_error: float | None

    @classmethod
    def of(cls, values: ArrayLike) -> Spread:
        """Return mean, standard deviation and standard error of the mean of some numbers."""
        array = np.asarray(values, np.float64)
        if array.size < 2:
            return cls(float(array.mean()), None, None)
        scatter = float(array.std(ddof=1))
        return cls(float(array.mean()), scatter, scatter / float(np.sqrt(array.size)))


def ask(out: Path, asked: range) -> None:
    """Record in the folder which pairs it is to hold, and make room for their statistics.

    Raises:
        InputError: it cannot be written.
    """
    folder = make_folder(out / statistics.FOLDER)
    write_json(folder / ASKED, {"first": asked.start, "images": len(asked)})


def run(
    config: Config,
    out: Path,
    world: World,
    progress: Progress,
    *,
    own: Collection[int] | None = None,
) -> str:
    """Summarise the pairs in a folder; a collective call.

    Writes `summary.json` and `summary.txt`, `contact-sheet.png` and `flux-histogram.png`.

    Args:
        config: of the pairs; its section tiles decides how tiles are counted.
        out: the folder.
        world: the ranks, which measure the pairs without statistics.
        progress: called with (pairs measured, pairs to measure, a note), on rank 0.
        own: the pairs of this part of a larger job, which measures no others, and draws pictures
            only if no pair is missing; by default all.

    Returns:
        the text of `summary.txt`.

    Raises:
        InputError: there is no pair, one cannot be read, or the folder cannot be written.
    """
    rule = CountingRule.of(config.tiles)

    def look() -> list[int]:
        make_folder(out / statistics.FOLDER)
        mine = [i for i in pairs_in(out) if own is None or i in own]
        known = _statistics(out, rule, mine)
        return [i for i in mine if i not in known]

    rest = world.on_root(look)

    def measure(number: int) -> None:
        paths = paths_of(out, rest[number])
        statistics.write(out, statistics.measure_files(paths, rest[number], rule))

    world.map(
        measure,
        len(rest),
        lambda done, total: progress(min(done, total - 1), total, "measuring"),
    )

    def write() -> str:
        with in_turn(out / "summary.json", lambda note: progress(0, 1, note)):
            known = _statistics(out, rule, pairs_in(out))
            if not known:
                raise InputError(
                    f"{out}: no pair in it; expected files like sky-00000.fits and noise-00000.fits"
                )
            if complaint := emptiness([one for i, one in known.items() if own is None or i in own]):
                logger.warning("%s: %s", out, complaint)
            asked = _asked(out)
            content = summary(list(known.values()), asked)
            text = table(content)
            write_json(out / "summary.json", content)
            with replacing(out / "summary.txt") as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
            if own is None or not content["missing"]:
                _draw(out, content)
        return text

    return world.on_root(write)


def paths_of(out: Path, index: int) -> tuple[Path, Path, Path]:
    """Return the halo catalogue, Sky and Noise image of an index, in the order of writing."""
    names = f"halos-{index:05d}.fits", f"sky-{index:05d}.fits", f"noise-{index:05d}.fits"
    return out / names[0], out / names[1], out / names[2]


def pairs_in(out: Path) -> list[int]:
    """Return the indices whose two images both exist.

    Raises:
        InputError: the folder cannot be read.
    """
    with naming(out):
        names = {path.name for path in out.iterdir()}
    found = [match for name in names if (match := SKY_NAME.fullmatch(name))]
    return sorted(int(match[1]) for match in found if f"noise-{match[1]}.fits" in names)


def _statistics(out: Path, rule: CountingRule, indices: Sequence[int]) -> dict[int, Statistics]:
    """Return the statistics of those pairs that have them, by their index."""
    known = {}
    for index in indices:
        path = paths_of(out, index)[1]
        if statistics.path_of(out, index).exists():
            with naming(path):
                config = str(fits.getheader(path, 0).get("CONFIG", ""))
            found = statistics.read(out, index, config, rule)
            if found is not None:
                known[index] = found
    return known


def _asked(out: Path) -> range:
    """Return the pairs that the folder was to hold, as its last job recorded them."""
    path = out / statistics.FOLDER / ASKED
    if not path.exists():
        return range(0)
    try:
        content = read_json(path)
        return range(content["first"], content["first"] + content["images"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the entries first and images; remove it") from error


def summary(found: Sequence[Statistics], asked: Collection[int] = ()) -> dict[str, Any]:
    """Return the content of `summary.json`.

    Args:
        found: statistics of the existing pairs, at least one, by one rule.
        asked: the indices of all pairs that should exist.
    """
    rule = found[0].rule
    there = {one.index for one in found}
    missing = sorted(set(asked) - there)
    sizes = sorted({one.pixels for one in found})
    scales = sorted({one.pixel_scale for one in found})
    tiles = sorted({one.tiles for one in found})
    histograms = np.array([one.histogram for one in found])
    outside = {
        name: asdict(Spread.of([getattr(one, name) for one in found]))
        for name in ("fainter", "brighter")
    }
    per_image = ("index", "signal_tiles", *QUANTITIES)
    return {
        "images": len(found),
        "asked": len(there | set(asked)),
        "missing": _ranges(missing),
        "configurations": sorted({one.config for one in found}),
        "pixels": sizes,
        "pixel_scale": {"unit": "arcsec", "values": scales},
        "tile": rule.tile,
        "tiles": tiles,
        "n_pix": rule.n_pix,
        "thresholds": {"unit": "Jy/arcsec^2", "values": rule.thresholds},
        "signal_tiles": _occupancies(found, compared=_is_paper_s(sizes, scales, rule)),
        "quantities": {name: _quantity(found, name, unit) for name, unit in QUANTITIES.items()},
        "flux_histogram": {
            "unit": "Sky pixels an image, by Jy/arcsec^2",
            "edges": statistics.edges().tolist(),
            **{name: [] for name in ("mean", "scatter", "standard_error")},
            **_columns([Spread.of(counts) for counts in histograms.T]),
            **outside,
        },
        "each": [{name: getattr(one, name) for name in per_image} for one in found],
        "emptiness": emptiness(found),
    }


def emptiness(found: Sequence[Statistics]) -> str:
    """Return why no image of some has signal by any threshold, and what to do; empty where not."""
    brightest = max((one.sky_max for one in found), default=math.inf)
    least = min(found[0].rule.thresholds) if found else 0.0
    if brightest > least:
        return ""
    what = "no Sky pixel is above 0: all emission is fainter than sky.faintest"
    if brightest > 0:
        what = (
            f"the brightest Sky pixel has {brightest:.3g} Jy/arcsec^2, and the lowest flux "
            f"threshold is {least:g}: no tile has signal"
        )
    return (
        f"{what}; raise sky.efficiency, which is fitted to the built-in boxes: boxes of another "
        "simulation or mesh need their own (docs/shock-finder.md)"
    )


def _is_paper_s(
    sizes: Sequence[tuple[int, int]], scales: Sequence[float], rule: CountingRule
) -> bool:
    """Return whether the paper's occupancies are for such images and tiles."""
    found = [{"pixels": p, "pixel_scale": s, "tile": rule.tile} for p in sizes for s in scales]
    return found == [PAPER_IMAGE]


def _occupancies(found: Sequence[Statistics], *, compared: bool) -> list[dict[str, Any]]:
    """Return the signal tiles an image for each N_pix and threshold."""
    rows = []
    counts = np.array([one.signal_tiles for one in found])
    rule = found[0].rule
    for i, n_pix in enumerate(rule.n_pix):
        for j, threshold in enumerate(rule.thresholds):
            spread = Spread.of(counts[:, i, j])
            paper = PAPER.get((n_pix, threshold)) if compared else None
            ratio = spread.mean / paper if paper else None
            row = {"n_pix": n_pix, "f_th": threshold, **asdict(spread)}
            rows.append({**row, "paper": paper, "ratio": ratio})
    return rows


def _quantity(found: Sequence[Statistics], name: str, unit: str) -> dict[str, Any]:
    values = [value for one in found if (value := getattr(one, name)) is not None]
    if not values:
        return {"unit": unit, "images": 0}
    extremes = {"least": min(values), "most": max(values)}
    return {"unit": unit, "images": len(values), **asdict(Spread.of(values)), **extremes}


def _columns(spreads: Sequence[Spread]) -> dict[str, list[float | None]]:
    rows = [asdict(spread) for spread in spreads]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _ranges(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Return rising numbers as (first, last) of each run of consecutive ones."""
    ranges: list[tuple[int, int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1] = ranges[-1][0], index
        else:
            ranges.append((index, index))
    return ranges


def table(content: dict[str, Any]) -> str:
    """Return the content of `summary.txt`.

    Args:
        content: see `summary`.
    """
    sizes = ", ".join(f"{columns} x {rows}" for rows, columns in content["pixels"])
    scales = ", ".join(f"{scale:g}" for scale in content["pixel_scale"]["values"])
    tiles = ", ".join(map(str, content["tiles"]))
    lines = [
        f"{content['images']} of {content['asked']} pairs, {sizes} pixels of {scales} arcsec",
        *_complaints(content),
        "",
        f"Signal tiles an image, of {tiles} tiles of {content['tile']} x {content['tile']} pixels: "
        "more than N_pix Sky pixels above F_th",
        "N_pix  F_th [Jy/arcsec^2]         mean +- error    scatter  paper  ratio",
    ]
    for row in content["signal_tiles"]:
        paper, ratio = "-", "-"
        if row["paper"]:
            paper, ratio = str(row["paper"]), f"{row['ratio']:.3f}"
        lines.append(
            f"{row['n_pix']:5d}  {row['f_th']:18g} {row['mean']:12.1f} +- "
            f"{_or_dash(row['standard_error'], '.1f'):>5} {_or_dash(row['scatter'], '.1f'):>10} "
            f"{paper:>6} {ratio:>6}"
        )
    lines += [
        "error: scatter / sqrt(images), too small where images share boxes",
        "",
        "Of an image         mean    scatter      least       most  unit",
    ]
    for name, row in content["quantities"].items():
        if row["images"]:
            numbers = (row["mean"], row["scatter"], row["least"], row["most"])
            cells = " ".join(f"{_or_dash(number, '.4g'):>10}" for number in numbers)
            lines.append(f"{name:13} {cells}  {row['unit']}".rstrip())
    return "\n".join(lines)


def _complaints(content: dict[str, Any]) -> list[str]:
    """Return the reasons why the numbers may mislead."""
    lines = []
    if content["missing"]:
        some = [f"{a}" if a == b else f"{a}-{b}" for a, b in content["missing"]]
        more = f" and {len(some) - 10} more gaps" if len(some) > 10 else ""
        lines.append(f"missing: {', '.join(some[:10])}{more}; the same mock command makes them")
    if len(content["configurations"]) > 1:
        lines.append(f"CAREFUL: of {len(content['configurations'])} different configurations")
    if content["emptiness"]:
        lines.append(f"CAREFUL: {content['emptiness']}")
    return lines


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _draw(out: Path, content: dict[str, Any]) -> None:
    """Draw the pictures; matplotlib takes a second to import, and is needed here alone."""
    from cosmodeep_hpc.sky import pictures

    indices = [one["index"] for one in content["each"]]
    chosen = [indices[i] for i in pictures.evenly(len(indices))]
    with replacing(out / "flux-histogram.png") as temporary:
        pictures.flux_histogram(content, temporary)
    with replacing(out / "contact-sheet.png") as temporary:
        pairs = [(index, *paths_of(out, index)[1:]) for index in chosen]
        pictures.contact_sheet(pairs, len(indices), temporary)
