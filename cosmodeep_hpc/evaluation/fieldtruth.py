"""What the noise-free sky says of the cells of a field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.fields import bright_cells
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.survey.view import averaged
from cosmodeep_hpc.tiles.preprocessing import robust_noise

FAINTER = 0.5
"""Emission counts as real from this part of F_th on, when a found island is judged.

The edge of an island lies where F_th is as likely reached as not, and what is a little fainter than
F_th is emission all the same: an island is not false for it.
"""


@dataclass(frozen=True, kw_only=True)
class FieldTruth:
    """The truth of the cells of a field, all bool or float32 (rows, cols).

    Attributes:
        known: cells with data in both images; the others count nowhere.
        bright: half of the cell's Sky pixels are brighter than F_th.
        emission: the same for `FAINTER` F_th.
        sky, image: mean of the Sky and of the Noise image [Jy/arcsec^2]; 0 where not known.
        noise: of the image [Jy/arcsec^2].
        cell_area: [arcsec^2].
        beam_area: [arcsec^2]; that of a pixel where no beam is known.
    """

    known: NDArray[np.bool_]
    bright: NDArray[np.bool_]
    emission: NDArray[np.bool_]
    sky: NDArray[np.float32]
    image: NDArray[np.float32]
    noise: float
    cell_area: float
    beam_area: float

    @classmethod
    def of(cls, sky: Image, image: Image, f_th: float, side: int, noise: float) -> FieldTruth:
        """Return the truth of a pair, in cells of `side` x `side` pixels.

        Args:
            f_th: flux threshold F_th [Jy/arcsec^2].
            noise: of the image [Jy/arcsec^2].

        Raises:
            InputError: the images cannot be read.
        """
        sky_pixels = sky.pixels()
        means = averaged(sky_pixels, side), averaged(image.pixels(), side)
        known = np.isfinite(means[0]) & np.isfinite(means[1])
        return cls(
            known=known,
            bright=bright_cells(sky_pixels, f_th, side) & known,
            emission=bright_cells(sky_pixels, FAINTER * f_th, side) & known,
            sky=np.where(known, means[0], np.float32(0)),
            image=np.where(known, means[1], np.float32(0)),
            noise=noise,
            cell_area=(side * image.pixel_scale) ** 2,
            beam_area=image.pixel_scale**2 if image.beam is None else image.beam.area,
        )


def noise_of(image: Image, pixels: NDArray[np.float32] | None = None) -> float:
    """Return the noise of a Noise image [Jy/arcsec^2]: as its header says, or else measured.

    Args:
        pixels: of the image, where the caller holds them already.

    Raises:
        InputError: it has none.
    """
    stored = image.header.get("NOISERMS")
    if isinstance(stored, int | float) and stored > 0:
        return float(stored)
    return robust_noise(image, pixels)
