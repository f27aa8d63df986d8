"""From a plane's surface brightness to what the network sees: noise matched, then preprocessed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beams import plain
from cosmodeep_hpc.images.gaps import BRIGHTEST
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.noise.background import background
from cosmodeep_hpc.noise.cellstatistics import LEAST
from cosmodeep_hpc.noise.localnoise import LocalNoise, is_as_trained
from cosmodeep_hpc.noise.mesh import Mesh, interpolated
from cosmodeep_hpc.survey.view import View
from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing

MOST = 1.1
"""Noise of a whole image over what the training lets expect of its local noise, at most."""
FAINT = 0.75
"""Background, in units of the noise, up to which it is left as it is."""
FAR = 2.0
"""Ratio of the noise that a user gives to that which is measured from which on a note says so."""


@dataclass(frozen=True, kw_only=True)
class NoiseMatching:
    """What the pixels of a view are multiplied with, and then scaled by.

    Attributes:
        target: noise of the training [Jy/arcsec^2].
        sigma: the noise that becomes `target` [Jy/arcsec^2]: one for the plane, a mesh of cells of
            `side` pixels, or None where intensities stay as they are.
        level: of the preprocessing, of pixels multiplied already.
        background: what is subtracted before, a mesh as `sigma` may be; None: nothing.
        shown: the level that pixels have afterwards where nothing is bright, a mesh as `sigma` may
            be: what stands in for missing pixels has it; None: 0.
        first: row of the plane's mesh that the meshes begin with.
    """

    target: float
    sigma: float | NDArray[np.float32] | None
    side: int
    level: Level
    background: NDArray[np.float32] | None = None
    shown: NDArray[np.float32] | None = None
    first: int = 0

    def match(self, pixels: NDArray[np.float32], first: int) -> None:
        """Subtract the background of rows of the view and multiply them, in place.

        Args:
            first: row of the view that they begin with.
        """
        if isinstance(self.sigma, float) and self.background is None:
            pixels *= np.float32(self.target / self.sigma)
            return
        if self.sigma is None and self.background is None:
            return
        rows = np.arange(first, first + len(pixels), dtype=np.float64) - self.first * self.side
        cols = np.arange(pixels.shape[1], dtype=np.float64)
        for start in range(0, len(rows), 64):  # in the cache, and no second array of this size
            some = slice(start, start + 64)
            if self.background is not None:
                pixels[some] -= interpolated(self.background, self.side, rows[some], cols)
            if isinstance(self.sigma, float):
                pixels[some] *= np.float32(self.target / self.sigma)
            elif self.sigma is not None:
                local = interpolated(self.sigma, self.side, rows[some], cols)
                pixels[some] *= np.float32(self.target) / local

    def part(self, rows: range) -> NoiseMatching:
        """Return what rows of the view need of it: a mesh of all is much to send."""
        first = max(rows.start // self.side - 1, 0)
        some = slice(first, rows.stop // self.side + 2)
        sigma, background, shown = self.sigma, self.background, self.shown
        return replace(
            self,
            first=first,
            sigma=sigma[some] if isinstance(sigma, np.ndarray) else sigma,
            background=None if background is None else background[some],
            shown=None if shown is None else shown[some],
        )


@dataclass(frozen=True)
class RmsMap:
    """Noise given by the user, on the pixels of the image: a view of it."""

    view: View
    target: float

    def match(self, pixels: NDArray[np.float32], first: int) -> NDArray[np.float32]:
        """Multiply rows of the image's view in place; they are no data where the map has none.

        Returns:
            the map's rows [Jy/arcsec^2].
        """
        rms = self.view.rows(first, first + len(pixels))
        rms[~(rms > 0)] = np.nan
        pixels *= np.float32(self.target / self.view.gain) / rms
        return rms


@dataclass(frozen=True, kw_only=True)
class KnownNoise:
    """What is known of the noise of a view before its mesh is measured.

    Attributes:
        given: by the user, of the whole view [Jy/arcsec^2].
        mapped: whether the user gives a map of it.
        robust: of the whole view [Jy/arcsec^2], for preprocessing by asinh.
        beam_area: of the view's beam [pixel]; None where it is not known.
    """

    given: float | None
    mapped: bool
    robust: float | None
    beam_area: float | None


def decide(
    mesh: Mesh | None,
    measured: LocalNoise | None,
    level: NDArray[np.float32] | None,
    card: Card,
    options: Classify,
    known: KnownNoise,
    name: str,
) -> tuple[NoiseMatching, tuple[str, ...]]:
    """Decide how a plane is scaled; return that, and notes on it.

    Args:
        mesh: what was measured of the view; of pixels matched already where a map gives the noise.
            None where neither the noise nor the preprocessing needs it.
        measured: the noise by that mesh; None where it has none.
        level: the background by that mesh; None where it is not known.
        card: of the model.
        options: how noise and background are treated.
        name: of the image, in messages.

    Raises:
        InputError: there is no pixel with data, or no noise at all.
    """
    target, given = card.quiet, known.given
    is_given = given is not None or known.mapped
    matched: float | NDArray[np.float32] | None = given
    below: NDArray[np.float32] | None = None
    notes: list[str] = []
    if mesh is not None:
        if not (is_given and measured is None):
            _check(mesh, measured, name)
        if measured is not None and level is not None:
            low, high = np.percentile(level / measured.view, [1, 99])
            if options.background == "local" or not _is_faint(level, measured):
                below = level
                reach = f"{plain(low, 3)} to {plain(high, 3)}"
                notes.append(f"subtracted a background of {reach} of the noise")
        as_is = options.noise == "as_is" or (
            options.noise == "auto"
            and measured is not None
            and is_as_trained(measured.view, card.noise_rms)
        )
        if measured is not None and not (is_given or as_is):
            matched = measured.view
            low, high = np.percentile(matched, [5, 95])
            compared = f"; not all within a quarter of {card.noise_rms:.3g}, that of its images"
            notes.append(
                f"intensities scaled by the local noise ({low:.3g} to {high:.3g} Jy/arcsec2) to "
                f"that of the training ({target:.3g}{compared if options.noise == 'auto' else ''})"
            )
    if given is not None:
        notes.append(f"intensities scaled from a noise of {given:.3g} to {target:.3g} Jy/arcsec2")
    if known.mapped:
        notes.append(f"intensities scaled by the map of the noise to {target:.3g} Jy/arcsec2")
    if is_given and measured is not None:
        by_mesh = float(np.median(measured.view))
        ratio = (target if given is None else given) / by_mesh
        if not 1 / FAR < ratio < FAR:
            notes.append(
                f"the noise that is given is {plain(ratio, 3)} times that which is measured: check "
                "its unit"
            )
    seen = card.noise_rms if known.robust is None else known.robust
    if matched is not None or known.mapped:
        seen = card.noise_rms
    elif measured is not None:
        # of the whole image, with what emission adds, as in training; a slope is none of that
        local = float(np.median(measured.view))
        most = MOST * local * card.noise_rms / card.quiet
        seen = local if known.robust is None else min(max(seen, local), most)
    scaling = NoiseMatching(
        target=target,
        sigma=matched,
        side=mesh.side if mesh is not None else 1,
        level=_level(mesh, card.preprocessing, target, matched, below, seen),
        background=below,
        shown=None if mesh is None else _shown(mesh, target, matched, below),
    )
    return scaling, tuple(notes)


def decide_coarser(
    mesh: Mesh, measured: LocalNoise, card: Card, options: Classify, beam_area: float | None
) -> NoiseMatching:
    """Decide how a coarser scale of a plane is scaled: by its own noise and background, always.

    Args:
        mesh, measured, card, options: see `decide`.
        beam_area: of the beam there [pixel]; None where it is not known.
    """
    below: NDArray[np.float32] | None = None
    if options.background != "none":
        below = background(mesh, measured, beam_area)
        if options.background == "auto" and _is_faint(below, measured):
            below = None
    target, matched = card.quiet, measured.view
    level = _level(mesh, card.preprocessing, target, matched, below, card.noise_rms)
    shown = _shown(mesh, target, matched, below)
    return NoiseMatching(
        target=target, sigma=matched, side=mesh.side, level=level, background=below, shown=shown
    )


def _shown(
    mesh: Mesh,
    target: float,
    matched: float | NDArray[np.float32] | None,
    below: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Return the level of the pixels of cells once they are matched; 0 where it is not known."""
    factor = 1.0 if matched is None else target / matched
    level = mesh.level if below is None else mesh.level - below
    return np.nan_to_num(level * factor).astype(np.float32)


def _is_faint(below: NDArray[np.float32], measured: LocalNoise) -> bool:
    """Return whether a background is left as it is where `classify.background` is `auto`."""
    low, high = np.percentile(below / measured.view, [1, 99])
    return bool(max(abs(low), abs(high)) < FAINT)


def _check(mesh: Mesh, measured: LocalNoise | None, name: str) -> None:
    """Refuse a plane without data or without noise."""
    if np.isnan(mesh.high).all():
        raise InputError(
            f"{name}: no pixel with data (all blank, NaN, 0, or above {BRIGHTEST:g} Jy/arcsec2)"
        )
    if measured is not None:
        return
    if np.isnan(mesh.sigma).all():
        raise InputError(
            f"{name}: too few pixels with data to measure its noise on: at most "
            f"{np.nanmax(mesh.count):.0f} of those looked at in a square of {mesh.side} pixels of "
            f"what the network sees, expected {LEAST}; give a larger image, or its noise with --rms"
        )
    raise InputError(f"{name}: no noise in it: expected an image of the sky with noise")


def _level(
    mesh: Mesh | None,
    preprocessing: Preprocessing,
    target: float,
    matched: float | NDArray[np.float32] | None,
    below: NDArray[np.float32] | None,
    sigma: float,
) -> Level:
    """Return the level of a plane, from the extremes of its mesh if these are needed."""
    if preprocessing.scaling != "minmax" or mesh is None:
        low, high = math.log(preprocessing.floor), math.log(preprocessing.ceiling)
        return Level(low=low, high=high, sigma=sigma)
    factor = np.float32(1.0) if matched is None else np.float32(target) / np.asarray(matched)
    floor = np.float32(preprocessing.floor)
    zero = np.float32(0) if below is None else below
    low_32 = np.fmin.reduce((mesh.low - zero) * factor, axis=None)
    high_32 = np.fmax.reduce((mesh.high - zero) * factor, axis=None)
    return Level(
        low=float(np.log(np.fmax(low_32, floor))),
        high=float(np.log(np.fmax(high_32, floor))),
        sigma=sigma,
    )


def needs_mesh(preprocessing: Preprocessing, options: Classify, *, given: bool) -> bool:
    """Return whether a plane must be measured before it can be classified: it is read twice."""
    if preprocessing.scaling == "minmax" or options.background != "none":
        return True
    return options.noise != "as_is" and not given
