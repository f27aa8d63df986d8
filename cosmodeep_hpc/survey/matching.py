"""From a plane's surface brightness to what the network sees: noise matched, then preprocessed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.survey import noise
from cosmodeep_hpc.survey.noise import Mesh
from cosmodeep_hpc.survey.view import View
from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing


@dataclass(frozen=True, kw_only=True)
class NoiseMatching:
    """What the pixels of a view are multiplied with, and then scaled by.

    Attributes:
        target: noise of the training [Jy/arcsec^2].
        sigma: the noise that becomes `target` [Jy/arcsec^2]: one for the plane, a smoothed mesh of
            cells of `side` pixels, or None where intensities stay as they are.
        level: of the preprocessing, of pixels multiplied already.
    """

    target: float
    sigma: float | NDArray[np.float32] | None
    side: int
    level: Level

    def match(self, pixels: NDArray[np.float32], first: int) -> None:
        """Multiply rows of the view, from row `first` on, in place."""
        if self.sigma is None:
            return
        if isinstance(self.sigma, float):
            pixels *= np.float32(self.target / self.sigma)
            return
        rows = np.arange(first, first + len(pixels), dtype=np.float64)
        cols = np.arange(pixels.shape[1], dtype=np.float64)
        for start in range(0, len(rows), 64):  # in the cache, and no second array of this size
            local = noise.interpolated(self.sigma, self.side, rows[start : start + 64], cols)
            pixels[start : start + 64] *= np.float32(self.target) / local


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
    """

    given: float | None
    mapped: bool
    robust: float | None


def decide(
    mesh: Mesh | None,
    card: Card,
    mode: str,
    known: KnownNoise,
    name: str,
) -> tuple[NoiseMatching, tuple[str, ...]]:
    """Decide how a plane is scaled; return that, and notes on it.

    Args:
        mesh: what was measured of the view; of pixels matched already where a map gives the noise.
            None where neither the noise nor the preprocessing needs it.
        card: of the model.
        mode: `classify.noise`.
        name: of the image, in messages.

    Raises:
        InputError: there is no pixel with data, or no noise at all.
    """
    target, given, mapped = card.noise_rms, known.given, known.mapped
    side = mesh.side if mesh is not None else 1
    matched: float | NDArray[np.float32] | None = given
    notes: tuple[str, ...] = ()
    if mesh is not None:
        with_data = np.isfinite(mesh.high) & ((mesh.high != 0) | (mesh.low != 0))
        if not with_data.any():
            raise InputError(f"{name}: no pixel with data (all blank, NaN or 0)")
        local = noise.smoothed(mesh.sigma)
        if np.isnan(local).all():
            raise InputError(f"{name}: no noise in it: expected an image of the sky with noise")
        as_trained = mode == "auto" and noise.is_as_trained(local, target)
        if not (given is not None or mapped or mode == "as_is" or as_trained):
            matched = local
            low, high = np.nanpercentile(local, [5, 95])
            notes = (
                f"intensities scaled by the local noise ({low:.3g} to {high:.3g} Jy/arcsec2) to "
                f"that of the training ({target:.3g})",
            )
    if given is not None:
        notes = (f"intensities scaled from a noise of {given:.3g} to {target:.3g} Jy/arcsec2",)
    if mapped:
        notes = (f"intensities scaled by the map of the noise to {target:.3g} Jy/arcsec2",)
    changed = matched is not None or mapped
    seen = target if changed else known.robust
    if seen is None:
        seen = float(np.nanmedian(mesh.sigma)) if mesh is not None else target
    level = _level(mesh, card.preprocessing, target, matched, seen)
    return NoiseMatching(target=target, sigma=matched, side=side, level=level), notes


def _level(
    mesh: Mesh | None,
    preprocessing: Preprocessing,
    target: float,
    matched: float | NDArray[np.float32] | None,
    sigma: float,
) -> Level:
    """Return the level of a plane, from the extremes of its mesh if these are needed."""
    if preprocessing.scaling != "minmax" or mesh is None:
        low, high = math.log(preprocessing.floor), math.log(preprocessing.ceiling)
        return Level(low=low, high=high, sigma=sigma)
    factor = np.float32(1.0) if matched is None else np.float32(target) / np.asarray(matched)
    floor = np.float32(preprocessing.floor)
    low_32 = np.fmin.reduce(mesh.low * factor, axis=None)
    high_32 = np.fmax.reduce(mesh.high * factor, axis=None)
    return Level(
        low=float(np.log(np.fmax(low_32, floor))),
        high=float(np.log(np.fmax(high_32, floor))),
        sigma=sigma,
    )


def needs_mesh(preprocessing: Preprocessing, mode: str, *, given: bool) -> bool:
    """Return whether a plane must be measured before it can be classified: it is read twice."""
    return preprocessing.scaling == "minmax" or (mode != "as_is" and not given)
