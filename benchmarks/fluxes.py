"""How right fluxes and positions of the catalogue are, by sources put into noise.

    python -m benchmarks.fluxes                        # mock noise, some 4 minutes of a core
    python -m benchmarks.fluxes --images FOLDER        # the noise of real images
    python -m benchmarks.fluxes --finders              # PyBDSF and Aegean on the same images, hours

Halos, arcs and bridges of many sizes, fluxes and directions, seen through beams of 6 to 45 arcsec,
in noise that the beam correlates, with compact sources between and on them; or in real images,
where nothing stands out of these. Given are, for islands on a source: the flux over what was put
into the same pixels, the diffuse and the compact part likewise, the whole flux over all of the
source, pulls (difference over error: mean, and half the width of the middle 68 %), and the distance
from the middle of what was put into the same pixels over the limit of a Gaussian fit.

Source of the limit: Condon (1997), PASP 109, 166, equations 21 and 41, for the Gaussian that fits
the source best.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares

import cosmodeep_hpc as cd
from benchmarks.fluxfields import (
    BEAMS,
    FREQUENCY,
    SHAPES,
    SURE,
    Field,
    inside,
    mock_fields,
    real_fields,
    view_of,
)
from cosmodeep_hpc.images.beam import FWHM
from cosmodeep_hpc.images.image import Image


@dataclass(frozen=True, kw_only=True)
class Measure:
    """An island on a source: fluxes in mJy, errors of them, and lengths in arcsec."""

    shape: str
    beam: float
    image: str
    pixels: float
    compact_true: float
    source_true: float
    islands: int
    beams: float
    flux: float
    flux_error: float
    compact: float
    compact_error: float
    diffuse: float
    diffuse_error: float
    total: float
    total_error: float
    away: float
    limit: float
    pybdsf: float = float("nan")
    aegean: float = float("nan")


def measured(field: Field, model: Any, finders: bool) -> list[Measure]:
    """Return the islands on the sources of a field."""
    image, beam = field.image, field.image.beam
    assert beam is not None
    per_beam = (field.pixels * beam.area).astype(np.float32)
    options = {"any_scale": True, "view": view_of(image)}
    sides = beam.major, beam.minor, beam.angle
    found = cd.classify(per_beam, image.wcs, unit="Jy/beam", beam=sides, model=model, **options)
    cell, (ny, nx) = found._findings.swept.cell, image.shape
    labels = found._findings.labels.whole(0)
    labels = np.repeat(np.repeat(labels, cell, 0), cell, 1)[:ny, :nx]
    others = beside(field, per_beam) if finders else {}
    rows = []
    for number, (made, flux) in enumerate(field.sources):
        here, area = inside(made), 1e3 * image.pixel_scale**2
        some = labels[here]
        seen = np.bincount(some.ravel(), (flux * made.seen).ravel(), labels.max() + 1) * area
        on = np.flatnonzero(seen[1:] > 0.02 * seen.sum()) + 1
        fluxes = {name: values[number] for name, values in others.items()}
        for island in on:
            row = found.islands[int(island) - 1]
            own = labels == island
            if field.before is not None and (own & field.before).any():
                continue  # joined with what was there
            compact = 0.0 if field.compact is None else float(field.compact[own].sum()) * area
            if row["flux_int"].value < SURE * row["flux_int_err"].value or seen[island] < compact:
                continue
            middle = ndimage.center_of_mass(np.where(some == island, made.seen, 0))
            x, y = middle[1] + made.columns.start, middle[0] + made.rows.start
            away = np.hypot(row["x_cen"].value - x, row["y_cen"].value - y) * image.pixel_scale
            rows.append(
                Measure(
                    shape=field.shape,
                    beam=beam.width,
                    image=field.name,
                    pixels=float(seen[island]),
                    compact_true=compact,
                    source_true=1e3 * flux,
                    islands=len(on),
                    beams=float(row["n_beams"]),
                    away=float(away),
                    limit=condon(flux * made.seen / field.rms[number], image),
                    **{
                        name: float(row[f"flux_{column}"].value) for name, column in COLUMNS.items()
                    },
                    **fluxes,
                )
            )
    return rows


COLUMNS = {
    "flux": "int",
    "flux_error": "int_err",
    "compact": "compact",
    "compact_error": "compact_err",
    "diffuse": "diffuse",
    "diffuse_error": "diffuse_err",
    "total": "total",
    "total_error": "total_err",
}


def condon(ratio: NDArray[np.float64], image: Image) -> float:
    """Return the least error of a source's position along a line, mean of both axes [arcsec].

    Args:
        ratio: the source through the beam over the noise (rows, columns).
    """
    step = max(1, int(np.sqrt(ratio.size) / 60))
    some = ratio[::step, ::step]
    y, x = np.mgrid[: some.shape[0], : some.shape[1]]
    total = some.sum()
    cx, cy = (x * some).sum() / total, (y * some).sum() / total
    spread = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=np.maximum(some.ravel(), 0))
    values, vectors = np.linalg.eigh(spread)

    def model(known: NDArray[np.float64]) -> NDArray[np.float64]:
        away = (np.stack([x - cx, y - cy], -1) @ vectors) / np.exp(known[1:])
        return np.asarray(known[0] * np.exp(-(away**2).sum(-1) / 2) - some).ravel()

    fit = least_squares(model, [float(some.max()), *(0.5 * np.log(values + 0.1) - 0.5)])
    peak = abs(float(fit.x[0]))
    minor, major = np.sort(np.exp(fit.x[1:])) * FWHM * step * image.pixel_scale
    beam = image.beam.width

    def sharp(on_major: float, on_minor: float) -> float:
        square = major * minor / (4 * beam**2) * peak**2
        square *= (1 + (beam / major) ** 2) ** on_major * (1 + (beam / minor) ** 2) ** on_minor
        return float(np.sqrt(square))

    along = major * np.sqrt(2) / FWHM / sharp(2.5, 0.5)
    across = minor * np.sqrt(2) / FWHM / sharp(0.5, 2.5)
    return float(np.sqrt((along**2 + across**2) / 2))


def beside(field: Field, per_beam: NDArray[np.float32]) -> dict[str, list[float]]:
    """Return the fluxes that PyBDSF's islands and Aegean's components have on each source [mJy]."""
    import bdsf
    from AegeanTools.source_finder import SourceFinder

    vars(np.linalg).setdefault("linalg", np.linalg)  # Aegean 2.3 looks for it, NumPy 2.4 has it not
    beam, wcs = field.image.beam, field.image.wcs
    header = wcs.to_header()
    header.update({"BUNIT": "Jy/beam", "BMAJ": beam.major / 3600, "BMIN": beam.minor / 3600})
    header.update({"BPA": beam.angle, "FREQ": FREQUENCY})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "field.fits"
        fits.PrimaryHDU(per_beam, header).writeto(path)
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # they say much
            try:
                done = bdsf.process_image(str(path), frequency=FREQUENCY, ncores=1, quiet=True)
            except RuntimeError as error:
                done, failure = None, str(error)
            finder = SourceFinder()
            components = finder.find_sources_in_image(
                str(path), cores=1, innerclip=5, outerclip=4, max_summits=SUMMITS
            )
    fluxes: dict[str, list[float]] = {"pybdsf": [], "aegean": []}
    at = [wcs.all_world2pix([[c.ra, c.dec]], 0)[0] for c in components]
    if done is None:
        print(f"{field.name}: PyBDSF gives the image up: {failure}", flush=True)
    for made, _ in field.sources:
        total = float("nan")
        if done is not None:
            own = np.unique(done.pyrank.T[inside(made)][made.half])
            total = 1e3 * sum(float(done.islands[n].total_flux) for n in own[own >= 0])
        fluxes["pybdsf"].append(total)
        total = 0.0
        for component, (x, y) in zip(components, at, strict=True):
            row, col = round(float(y)) - made.rows.start, round(float(x)) - made.columns.start
            if 0 <= row < len(made.rows) and 0 <= col < len(made.columns) and made.half[row, col]:
                total += 1e3 * component.int_flux
        fluxes["aegean"].append(total)
    return fluxes


# --- what is printed ---


def table(rows: Sequence[Measure], put: int) -> str:
    """Return lines for each shape, for each beam or image, and for all."""
    lines = [f"{put} sources put in, {len(rows)} islands on them of {SURE:g} sigma and more"]
    head = ("flux_int", "flux_diffuse", "flux_compact", "flux_total", "place")
    lines.append(f"{'':24}{'n':>5}" + "".join(f"{name:>24}" for name in head))
    groups = {"all": list(rows)}
    groups |= {shape: [row for row in rows if row.shape == shape] for shape in SHAPES}
    names: list[str] = []
    if any(row.image.startswith("mock") for row in rows):
        for beam in BEAMS:
            groups[f"{beam:g} arcsec"] = [row for row in rows if row.beam == beam]
    else:
        names = sorted({row.image for row in rows})
    groups |= {name: [row for row in rows if row.image == name] for name in names}
    lines += [line(name[:23], some) for name, some in groups.items() if some]
    with_others = [row for row in rows if np.isfinite(row.aegean)]
    if with_others:
        true = np.array([row.source_true for row in with_others])
        lines.append("flux over all of the source, median and middle 68 %, where not 0:")
        for name in ("total", "pybdsf", "aegean"):
            value = np.array([getattr(row, name) for row in with_others])
            known = np.isfinite(value) & (value > 0)
            low, mid, high = np.percentile(value[known] / true[known], [16, 50, 84])
            lines.append(f"  {name:10} {known.sum():4} {mid:7.3f} ({low:.2f} to {high:.2f})")
    return "\n".join(lines)


def line(name: str, rows: Sequence[Measure]) -> str:
    """Return a line: ratio and pulls (mean, width) of each flux, and places."""
    of = {key: np.array([getattr(row, key) for row in rows]) for key in asdict(rows[0])}
    whole = np.isfinite(of["total"]) & (of["islands"] == 1)
    has = of["compact_true"] > 3 * of["flux_error"] / np.sqrt(of["beams"])  # of a beam
    unit = of["flux_error"]  # images have fluxes of other orders
    true = of["pixels"] + of["compact_true"]
    parts = [
        ratio(of["flux"], true, unit) + pulls(of["flux"], true, unit),
        ratio(of["diffuse"], of["pixels"], unit)
        + pulls(of["diffuse"], of["pixels"], of["diffuse_error"]),
        ratio(of["compact"][has], of["compact_true"][has], unit[has]),
        ratio(of["total"][whole], of["source_true"][whole], unit[whole])
        + pulls(*(of[key][whole] for key in ("total", "source_true", "total_error"))),
    ]
    # radial distances of two Gaussians have a median of 1.18 standard deviations
    place = np.median(of["away"] / of["limit"]) / np.sqrt(2 * np.log(2))
    return f"{name:24}{len(rows):5}" + "".join(f"{part:>24}" for part in [*parts, f"{place:.2f}"])


def ratio(value: NDArray[np.float64], true: NDArray[np.float64], unit: NDArray[np.float64]) -> str:
    """Return the ratio of sums, each part in its own unit; nothing where there are few."""
    return f"{(value / unit).sum() / (true / unit).sum():.3f}" if len(value) >= FEW else "-"


def pulls(value: NDArray[np.float64], true: NDArray[np.float64], error: NDArray[np.float64]) -> str:
    """Return the mean of the pulls and half the width of their middle 68 %."""
    if len(value) < FEW:
        return ""
    pull = (value - true) / error
    low, high = np.percentile(pull, [16, 84])
    return f" {pull.mean():+.2f} {(high - low) / 2:.2f}"


SUMMITS = 20
"""Maxima of an island that Aegean fits together: with more it takes hours."""
FEW = 5
"""Islands without which nothing is given."""


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, and keep all measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="robust")
    parser.add_argument("--images", type=Path, help="folder of real images")
    parser.add_argument("--beams", type=float, nargs="+", default=list(BEAMS), help="[arcsec]")
    parser.add_argument("--count", type=int, default=4, help="fields of each shape and beam")
    parser.add_argument("--sources", type=int, default=500, help="sources put into real images")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--finders", action="store_true", help="PyBDSF and Aegean beside")
    parser.add_argument("--out", type=Path, help="all measures as JSON")
    args = parser.parse_args(words)
    model = cd.load_model(args.model)
    if args.images is None:
        fields = mock_fields(args.beams, args.count, args.seed)
    else:
        fields = real_fields(args.images, args.sources, args.seed, model)
    rows, put = [], 0
    for field in fields:
        rows += measured(field, model, args.finders)
        put += len(field.sources)
        if args.out is not None:
            args.out.write_text(json.dumps([asdict(row) for row in rows]))
    print(table(rows, put))


if __name__ == "__main__":
    main()
