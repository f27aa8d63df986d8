"""A FITS file, or an image in memory, with one plane of the sky or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.image import Image, OpenFile
from cosmodeep_hpc.images.image import open_image as open_image
from cosmodeep_hpc.images.quiet import quiet
from cosmodeep_hpc.images.unpack import is_packed as is_packed
from cosmodeep_hpc.images.unpack import unpack as unpack

MOST_PLANES = 100_000


@dataclass(frozen=True)
class Mosaic:
    """An open file, or image in memory.

    Attributes:
        path: the file, by the name it was asked for; the name of an image in memory.
        header: of the image; of a tile-compressed one as it was before.
        hdu: number of its HDU.
        axes: lengths of the file's axes, slowest first.
        celestial: indices of y and x in `axes`; y is the slower one.
        planes: those asked for, in the order of the file.
        numbers: the numbers of those planes, from 0.
    """

    path: Path
    header: fits.Header
    hdu: int
    axes: tuple[int, ...]
    celestial: tuple[int, int]
    planes: tuple[Image, ...]
    numbers: tuple[int, ...]

    @property
    def others(self) -> tuple[int, ...]:
        """Indices in `axes` of those that are not on the sky, slowest first.

        `Image.plane` counts along them.
        """
        return tuple(axis for axis in range(len(self.axes)) if axis not in self.celestial)

    @property
    def n_planes(self) -> int:
        """Planes in the file, asked for or not."""
        count = 1
        for axis in self.others:
            count *= self.axes[axis]
        return count

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of every plane."""
        return self.axes[self.celestial[0]], self.axes[self.celestial[1]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of any of its planes, each said once."""
        return tuple(dict.fromkeys(note for plane in self.planes for note in plane.notes))


def open_mosaic(
    image: Path | ImageArray,
    *,
    hdu: int | str | None = None,
    planes: Sequence[int] | None = None,
    beam: Beam | None = None,
    unpacked: Path | None = None,
) -> Mosaic:
    """Open a FITS file, or an image in memory.

    Args:
        hdu: number or EXTNAME of an HDU; the first with an image of the sky where None.
        planes: numbers of the planes wanted, from 0 in the order of the file; all where None.
        beam: in place of the file's.
        unpacked: where the content of a packed file was unpacked to; messages name the file.

    Raises:
        InputError: not FITS, truncated, no image, no celestial coordinates, no or unknown BUNIT,
            a unit that needs a beam and none is known, or no such plane.
    """
    with quiet():
        found = OpenFile.of(image, hdu, unpacked)
        if planes is None and found.n_planes > MOST_PLANES:
            raise InputError(
                f"{found.path}: {found.n_planes} planes; expected at most {MOST_PLANES} at once: "
                "choose some with --plane (in Python planes=)"
            )
        numbers = tuple(range(found.n_planes)) if planes is None else tuple(sorted(set(planes)))
        return Mosaic(
            found.path,
            found.header,
            found.hdu.number,
            found.hdu.axes,
            found.celestial,
            tuple(found.images(beam, numbers)),
            numbers,
        )
