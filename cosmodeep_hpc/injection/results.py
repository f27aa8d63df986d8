"""What injections leave: tables, a picture of the curves, the catalogue with both, and a record."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from cosmodeep_hpc import __version__
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.injection.completeness import HALF, MOST, SizeCurve, of_islands
from cosmodeep_hpc.injection.inject import Injections
from cosmodeep_hpc.injection.trial import Trial
from cosmodeep_hpc.io.files import json_text, make_folder, read_json, replacing_together
from cosmodeep_hpc.islands.positions import icrs
from cosmodeep_hpc.products import tables
from cosmodeep_hpc.products.names import stem
from cosmodeep_hpc.products.picture import save

FEW = 3
"""Places up to which each has an upper limit of its own in what is printed."""
FORMAT = 1
"""Raise it when an entry of the record or a column changes its meaning."""
MJY = 1e3
ENDINGS = (
    *("injections.fits", "completeness.fits", "completeness.png"),
    *("catalogue.fits", "inject.json"),
)

INJECTIONS = """
number       | int     |             | meta.number                           | number of the place, from 0
size         | double  | arcsec      | phys.angSize                          | e-folding radius of a halo, length of an arc or a bridge
ra           | double  | deg         | pos.eq.ra;meta.main                   | right ascension of its middle, ICRS
dec          | double  | deg         | pos.eq.dec;meta.main                  | declination of the same
x            | double  | pix         | pos.cartesian.x                       | column of the same, counted from 0
y            | double  | pix         | pos.cartesian.y                       | row of the same
pos_ang      | double  | deg         | pos.posAng                            | position angle of its long axis, from north through east
flux_in      | double  | mJy         | phot.flux.density;em.radio            | flux that was put in
snr_peak     | double  |             | stat.snr;stat.max                     | its maximum, seen through the beam, over the local noise
covered      | double  |             | stat.value                            | share of its area within half of the maximum that new islands cover
found        | boolean |             | meta.code                             | whether that is enough
flux_diffuse | double  | mJy         | phot.flux.density;em.radio            | diffuse flux of the island; none: not found
flux_total   | double  | mJy         | phot.flux.density;em.radio            | whole flux of the source; none: not measured
n_beams      | double  |             | meta.number;instr.beam                | area of the island in beams
"""  # noqa: E501

COMPLETENESS = """
size         | double | arcsec | phys.angSize               | e-folding radius of a halo, length of an arc or a bridge
flux_in      | double | mJy    | phot.flux.density;em.radio | flux that was put in
tried        | int    |        | meta.number                | sources put in
found        | int    |        | meta.number                | sources found
completeness | double |        | stat.value                 | share found
low          | double |        | stat.value;stat.min        | lower end of its interval (Wilson's, 68 %)
high         | double |        | stat.value;stat.max        | upper end of the same
flux_ratio   | double |        | arith.ratio                | median flux measured over the flux put in, of those found
"""  # noqa: E501


class InjectionResult:
    """What became of sources that were put into an image: tables, a figure, and files.

    Attributes:
        done: it, as it was found.
    """

    def __init__(self, done: Injections) -> None:
        """Take what was found."""
        self.done = done

    @cached_property
    def injections(self) -> QTable:
        """A row for each source that was put in: the columns and units of the file."""
        trials = self.done.trials
        of = {f.name: np.array([getattr(trial, f.name) for trial in trials]) for f in fields(Trial)}
        sky = icrs(self.done.found.swept.planes[0].image.wcs, of["x"], of["y"])
        more = {
            "ra": sky[:, 0],
            "dec": sky[:, 1],
            "pos_ang": of["angle"],
            "flux_in": MJY * of["flux"],
            "snr_peak": of["peak"] / of["rms"],
            "flux_diffuse": MJY * of["diffuse"],
            "flux_total": MJY * of["total"],
            "n_beams": of["beams"],
        }
        return tables.described(INJECTIONS, of | more)

    @cached_property
    def completeness(self) -> QTable:
        """A row for each size and flux."""
        curves = self.done.curves

        def column(name: str) -> NDArray[np.float64]:
            return np.concatenate([getattr(curve, name) for curve in curves])

        return tables.described(
            COMPLETENESS,
            {
                "size": np.repeat([c.size for c in curves], [len(c.fluxes) for c in curves]),
                "flux_in": MJY * column("fluxes"),
                "completeness": column("share"),
                "flux_ratio": column("ratio"),
                **{name: column(name) for name in ("tried", "found", "low", "high")},
            },
        )

    @cached_property
    def islands(self) -> QTable:
        """The catalogue of the image's own islands with completeness and selection bias."""
        found = self.done.found
        table, islands = found.catalogue.copy(), found.islands.table
        flux = np.where(np.isfinite(islands.total), islands.total, islands.diffuse)
        share, bias = of_islands(self.done.trials, flux, islands.beams)
        for name, values, ucd, meaning in (
            (
                "completeness",
                share,
                "stat.value",
                "share found of sources put in that look alike",
            ),
            ("selection_bias", bias, "arith.ratio", "mean flux measured over flux put in of these"),
        ):
            table[name] = u.Quantity(values)
            table[name].info.description = meaning
            table[name].info.meta = {"ucd": ucd}
        return table

    @property
    def record(self) -> dict[str, Any]:
        """The content of the record."""
        swept = self.done.found.swept
        return {
            "inject": FORMAT,
            "cosmodeep_hpc": __version__,
            "image": {"name": swept.name, "sha256": swept.sha256},
            "model": {"name": swept.model.path.name, "sha256": swept.model_sha256},
            "threshold": swept.threshold,
            "source": self.done.shape,
            "options": asdict(self.done.options),
            "sizes": [_of_size(curve) for curve in self.done.curves],
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def write(self, out: str | Path) -> dict[str, Path]:
        """Write all of it, whole or not at all; return the files.

        Raises:
            InputError: as `prepare`, or the disk is full.
        """
        files = prepare(Path(out), self.done.found.swept.path)
        with replacing_together() as beside:
            for ending, file in files.items():
                with naming(file, "write"):
                    self._write(ending, beside(file))
        return files

    def _write(self, ending: str, path: Path) -> None:
        header = fits.Header({"CREATOR": f"cosmodeep_hpc {__version__}"})
        match ending:
            case "injections.fits":
                tables.write_fits(self.injections, "injections", header, path)
            case "completeness.fits":
                tables.write_fits(self.completeness, "completeness", header, path)
            case "completeness.png":
                save(self.figure(), path)
            case "catalogue.fits":
                tables.write_fits(self.islands, "islands", self.done.found.cards, path)
            case "inject.json":
                path.write_text(json_text(self.record), encoding="utf-8")

    def figure(self) -> Any:
        """Return a matplotlib figure of the share found over flux, a curve for each size."""
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(7, 4.5), layout="constrained")
        axes = drawn.add_subplot()
        for curve in self.done.curves:
            flux, share = MJY * curve.fluxes, curve.share
            errors = np.maximum([share - curve.low, curve.high - share], 0)
            label = f"{curve.size:.3g} arcsec"
            line = axes.errorbar(flux, share, errors, marker="o", ms=4, capsize=2, label=label)
            if math.isfinite(curve.half):
                axes.axvline(MJY * curve.half, color=line[0].get_color(), ls=":", lw=1)
        for quoted in (HALF, MOST):
            axes.axhline(quoted, color="0.7", lw=0.8)
        axes.set(xscale="log", xlabel="flux put in [mJy]", ylabel="share found")
        axes.set(ylim=(-0.03, 1.03))
        title = f"{self.done.shape}: {self.done.found.swept.name}"
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.legend(fontsize=9, frameon=False)
        return drawn

    def __str__(self) -> str:
        """Return the share found by size and flux, and the fluxes that are quoted."""
        lines = [f"{self.done.shape}: share found, and flux measured over flux put in"]
        for curve in self.done.curves:
            lines.append(f"\n{curve.size:8.4g} arcsec{'flux [mJy]':>14}{'found':>10}{'ratio':>8}")
            for flux, found, tried, ratio in zip(
                curve.fluxes, curve.found, curve.tried, curve.ratio, strict=True
            ):
                shown = f"{ratio:8.2f}" if math.isfinite(ratio) else f"{'-':>8}"
                lines.append(f"{MJY * flux:>29.4g}{f'{found}/{tried}':>10}{shown}")
            lines.append(_quoted(curve))
        return "\n".join(lines)


def _of_size(curve: SizeCurve) -> dict[str, Any]:
    """Return what the record says of a size; null where there is no such flux."""

    def known(flux: float) -> float | None:
        return MJY * flux if math.isfinite(flux) else None

    return {
        "size_arcsec": curve.size,
        "flux_half_mjy": known(curve.half),
        "flux_95_mjy": known(curve.most),
        "upper_limits_mjy": {str(number): known(flux) for number, flux in curve.limits.items()},
    }


def prepare(out: Path, image: Path) -> dict[str, Path]:
    """Make the folder; return the files that the injections into an image leave there.

    Raises:
        InputError: the folder cannot be made, or holds a file of such a name that no injection has
            left.
    """
    make_folder(out)
    files = {ending: out / f"{stem(image)}.{ending}" for ending in ENDINGS}
    _spare_others(files)
    return files


def _spare_others(files: dict[str, Path]) -> None:
    """Refuse to overwrite files that no earlier injection has left."""
    there = [file for file in files.values() if file.exists()]
    record = files["inject.json"]
    if there and not (record.exists() and "inject" in _content(record)):
        raise InputError(f"{there[0]}: was not written by `inject`; choose another folder")


def _content(path: Path) -> dict[str, Any]:
    """Return the content of a record; empty where it is damaged."""
    try:
        content = read_json(path)
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


def _quoted(curve: SizeCurve) -> str:
    """Return the fluxes of which half and 95 % are found, or upper limits at few places."""
    least = f"{MJY * float(curve.fluxes[0]):.4g} mJy"

    def shown(flux: float, share: float) -> str:
        if math.isfinite(flux):
            return f"{MJY * flux:.4g} mJy"
        return f"less than {least}" if curve.share[0] >= share else "not reached"

    if len(curve.limits) > FEW:
        half, most = shown(curve.half, HALF), shown(curve.most, MOST)
        return f"  half are found from: {half}; 95 % from: {most}"
    limits = []
    for number, flux in curve.limits.items():
        at_most = "at most " if flux == curve.fluxes[0] else ""
        limits.append(f"  upper limit at place {number}: {at_most}{shown(flux, math.inf)}")
    return "\n".join(limits)
