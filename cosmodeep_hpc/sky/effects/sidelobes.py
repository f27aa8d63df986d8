"""Sidelobes and stripes of sources and diffuse sky, which an image has beside its beam."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import FWHM, Beam
from cosmodeep_hpc.sky.effects.components import Components

BLOCK = 2048  # pixels along a side that are worked on at once: memory does not grow with the image


@dataclass(frozen=True)
class Response:
    """Sources and a diffuse sky, and the beam they are seen through.

    Attributes:
        components: the sources, fluxes in Jy.
        diffuse: float32 (pixels, pixels), the sky [Jy/arcsec^2].
        beam: float32 (side, side), response to 1 Jy [Jy/beam] on pixels `fineness` times finer than
            the image's; its centre is its first pixel, negative offsets come from its end.
        replaces: whether to subtract the restoring beam, which the image has already.
    """

    components: Components
    diffuse: NDArray[np.float32]
    beam: NDArray[np.float32]
    replaces: bool


def fineness(scale: float, beam: float) -> int:
    """Return how much finer the pixels must be than the image's to sample the restoring beam well.

    Args:
        scale: side of a pixel [arcsec].
        beam: FWHM of the restoring beam [arcsec].
    """
    return int(np.ceil(3 * scale / beam))


def add(
    image: NDArray[np.float32],
    responses: Sequence[Response],
    scale: float,
    beam: Beam,
    workers: int = 1,
    block: int = BLOCK,
) -> None:
    """Add responses to an image, exact at the centres of its pixels.

    Sources are put on fine pixels through the restoring beam, and their spectrum is then divided by
    its transform: no place is rounded. The spectrum of the product is folded, as sampling at the
    image's pixels would fold it. Sources outside the image count too; the diffuse sky is dark
    there.

    Args:
        image: float32 (pixels, pixels) [Jy/arcsec^2]; it is changed.
        responses: to be added.
        scale: side of a pixel [arcsec].
        beam: the restoring beam, round.
        workers: threads of the FFT; no influence on the result.
        block: side of the parts that are worked on one after the other [pixel]; no influence on the
            result, beyond rounding.
    """
    fine = fineness(scale, beam.major)
    halo = max(-(-len(response.beam) // (2 * fine)) for response in responses)
    pixels = len(image)
    step = -(-pixels // -(-pixels // block))
    side = scipy.fft.next_fast_len(step + 2 * halo, real=True)
    side += side % 2
    transfers = [_transfer(r, side * fine, scale / fine, beam, workers) for r in responses]
    for top, left in itertools.product(range(0, pixels, step), repeat=2):
        spectrum = np.zeros((side, side * fine // 2 + 1), np.complex64)
        for response, transfer in zip(responses, transfers, strict=True):
            corner = (top - halo, left - halo)
            _add_components(spectrum, response.components, transfer, corner, scale, beam, workers)
            _add_diffuse(spectrum, response.diffuse, transfer, corner, fine, scale, beam, workers)
        rows = scipy.fft.ifft(spectrum, axis=0, overwrite_x=True, workers=workers)
        part = image[top : top + step, left : left + step]
        rows = rows[halo : halo + part.shape[0]]
        lines = scipy.fft.irfft(rows, n=side * fine, axis=1, workers=workers)[:, ::fine]
        part += lines[:, halo : halo + part.shape[1]]


def _transfer(
    response: Response, side: int, pixel: float, beam: Beam, workers: int
) -> NDArray[np.complex64]:
    """Return the factor from a spectrum through the restoring beam to the response's spectrum."""
    padded = np.zeros((side, side), np.float32)
    half = len(response.beam) // 2
    for rows, columns in itertools.product((slice(0, half), slice(-half, None)), repeat=2):
        padded[rows, columns] = response.beam[rows, columns]
    spectrum = scipy.fft.rfft2(padded, overwrite_x=True, workers=workers)
    down, across = _restored(side, pixel, beam)
    spectrum *= (pixel**2 / beam.area / down)[:, None]
    spectrum /= across
    if response.replaces:
        spectrum -= 1
    return np.asarray(spectrum)


def _restored(
    side: int, pixel: float, beam: Beam
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the transform of the restoring beam, of volume 1: a factor a row, and one a column."""
    wide = 2 * np.pi**2 * (beam.major / FWHM) ** 2
    down, across = scipy.fft.fftfreq(side, pixel), scipy.fft.rfftfreq(side, pixel)
    return np.exp(-wide * down**2).astype("f4"), np.exp(-wide * across**2).astype("f4")


def _add_components(
    spectrum: NDArray[np.complex64],
    components: Components,
    transfer: NDArray[np.complex64],
    corner: tuple[int, int],
    scale: float,
    beam: Beam,
    workers: int,
) -> None:
    """Add the response to the components of a block, its rows folded."""
    side = len(spectrum)
    fine = len(transfer) // side
    row, column = components.row - corner[0], components.column - corner[1]
    here = (row > 0) & (row < side - 1) & (column > 0) & (column < side - 1)
    if not here.any():
        return
    near = components[here]
    moved = Components(
        column[here] * fine, row[here] * fine, near.flux, near.major, near.minor, near.angle
    )
    plane = np.zeros((side * fine, side * fine), np.float32)
    moved.spread(plane, scale / fine, beam)
    product = scipy.fft.rfft2(plane, overwrite_x=True, workers=workers)
    del plane
    product *= transfer
    for fold in range(fine):
        spectrum += product[fold * side : (fold + 1) * side] / np.float32(fine)


def _add_diffuse(
    spectrum: NDArray[np.complex64],
    diffuse: NDArray[np.float32],
    transfer: NDArray[np.complex64],
    corner: tuple[int, int],
    fine: int,
    scale: float,
    beam: Beam,
    workers: int,
) -> None:
    """Add the response to the diffuse sky of a block; the image's own pixels sample it well."""
    side = len(spectrum)
    block = np.zeros((side, side), np.float32)
    first = np.maximum(corner, 0)
    part = diffuse[first[0] : corner[0] + side, first[1] : corner[1] + side]
    if not part.any():
        return
    place = first - corner
    block[place[0] : place[0] + part.shape[0], place[1] : place[1] + part.shape[1]] = part
    product = scipy.fft.rfft2(block, overwrite_x=True, workers=workers)
    half = side // 2
    down, across = _restored(side, scale, beam)
    product *= down[:, None] * np.float32(fine)
    product *= across
    product[:half] *= transfer[:half, : half + 1]
    product[half:] *= transfer[-half:, : half + 1]
    spectrum[:, : half + 1] += product
