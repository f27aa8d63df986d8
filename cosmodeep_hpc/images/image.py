"""A plane of an image, read by rows and in Jy/arcsec^2, with its place on the sky."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.distortion import pixel_scale
from cosmodeep_hpc.images.gaps import Gaps
from cosmodeep_hpc.images.pixels import Pixels


@dataclass(frozen=True)
class Image:
    """An open image: one plane of a file.

    Attributes:
        path: the file, by the name it was asked for.
        header: header of the HDU with the image.
        shape: (ny, nx) of the plane; y is the slower of its two axes in the file.
        wcs: world coordinates of the plane's two axes, in the file's order of axes.
        beam: restoring beam, or None where none is known.
        to_surface_brightness: factor from the file's unit to Jy/arcsec^2.
        plane: its index on the file's other axes, slowest first, from 0; () where it has two axes.
        unit: the file's unit as understood.
        notes: what was assumed of it.
        failure: why no pixel has data, where that is known without reading one; empty elsewhere.
    """

    path: Path
    header: fits.Header = field(repr=False)
    shape: tuple[int, int]
    wcs: WCS
    beam: Beam | None
    to_surface_brightness: float
    plane: tuple[int, ...]
    unit: str
    notes: tuple[str, ...]
    _pixels: Pixels = field(repr=False)
    failure: str = ""

    @cached_property
    def pixel_scale(self) -> float:
        """Side of a pixel [arcsec], the geometric mean of its two sides.

        Of distorted ones, that in the middle.
        """
        return pixel_scale(self.wcs)

    def rows(self, start: int, stop: int, columns: slice = slice(None)) -> NDArray[np.float32]:
        """Read rows `start` to `stop` of the plane in Jy/arcsec^2; infinite pixels become NaN.

        Memory is that of what is asked, however large the plane. Threads may call it at once.

        Args:
            columns: those wanted, without a step.

        Raises:
            InputError: the file ends early or cannot be read.
        """
        pixels = self._read(*self._box(start, stop, columns))
        infinite = np.isinf(pixels)
        if infinite.any():
            pixels[infinite] = np.nan
        return pixels

    def data(self, start: int, stop: int, columns: slice = slice(None)) -> NDArray[np.float32]:
        """Read as `rows` does; NaN in gaps, whatever the file has there (see `Gaps`).

        A pixel's value does not depend on the rows and columns that are asked for.

        Raises:
            InputError: as `rows`.
        """
        return self.data_and_gaps(start, stop, columns)[0]

    def data_and_gaps(
        self, start: int, stop: int, columns: slice = slice(None)
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Read as `data` does, and count what became NaN.

        Returns:
            pixels, and int64 (rows, 3): absurd or infinite ones, those in patches of padding that
            are not 0, and zeros where noise may be 0.

        Raises:
            InputError: as `rows`.
        """
        rows, wanted = self._box(start, stop, columns)
        counts = np.zeros((len(rows), 3), dtype=np.int64)
        wide = [
            range(max(part.start - self.gaps.patch, 0), min(part.stop + self.gaps.patch, length))
            for part, length in zip((rows, wanted), self.shape, strict=True)
        ]
        zeros = self._zeros(wide[0], wide[1])
        if not self.gaps.are_patches and zeros is None:
            pixels = self._read(rows, wanted)
            counts[:, 0], counts[:, 2] = self.gaps.blank(pixels)
            return pixels, counts
        around = self._read(wide[0], wide[1])
        padding = self.gaps.padding(around, zeros)
        inside = tuple(
            slice(part.start - outer.start, part.stop - outer.start)
            for part, outer in zip((rows, wanted), wide, strict=True)
        )
        pixels = np.ascontiguousarray(around[inside])
        if padding is not None:
            padding = padding[inside]
            zeros = padding & (pixels == 0)
            counts[:, 1] = padding.sum(axis=1) - zeros.sum(axis=1)
            if self.gaps.has_steps:
                counts[:, 2] = zeros.sum(axis=1)
            pixels[padding] = np.nan
        absurd, others = self.gaps.blank(pixels)
        counts[:, 0] = absurd
        counts[:, 2] += others
        return pixels, counts

    def _box(self, start: int, stop: int, columns: slice) -> tuple[range, range]:
        rows = range(*slice(start, stop).indices(self.shape[0]))
        wanted = range(*columns.indices(self.shape[1]))
        if wanted.step != 1:
            raise ValueError(f"columns {columns}: expected no step")
        return rows, wanted

    def _read(self, rows: range, columns: range) -> NDArray[np.float32]:
        try:
            return self._pixels.read(self.plane, rows, columns, self.to_surface_brightness)
        except InputError:
            raise
        except Exception as error:  # astropy and the decompressors raise what their parts raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{self.path}: rows {rows.start} to {rows.stop - 1} cannot be read ({reason}); "
                "expected a whole file: copy or make it again"
            ) from error

    @cached_property
    def gaps(self) -> Gaps:
        """How its pixels without data are told."""
        return Gaps.of(self)

    def _zeros(self, rows: range, columns: range) -> NDArray[np.float32] | None:
        """Return what zeros may have become by compression [Jy/arcsec^2]; None: they are 0."""
        found = self._pixels.zeros(self.plane, rows, columns)
        return None if found is None else found * np.float32(self.to_surface_brightness)

    def pixels(self) -> NDArray[np.float32]:
        """Read the whole plane, float32 (ny, nx), in Jy/arcsec^2."""
        return self.rows(0, self.shape[0])
