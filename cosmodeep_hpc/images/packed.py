"""Images of packed files, which are unpacked into temporary ones."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.pixels import Pixels
from cosmodeep_hpc.images.unpack import unpack


class PackedPixels:
    """Pixels of a packed file; `Pixels` of pixels.py.

    A packed file can be read from its beginning alone. It is unpacked when pixels are first asked
    for, and what was in it goes with this object.

    Attributes:
        path: the packed file.
        inside: makes the pixels of the unpacked file.
    """

    def __init__(self, path: Path, inside: Callable[[Path], Pixels]) -> None:
        """Unpack nothing yet."""
        self.path, self.inside = path, inside
        self._lock = Lock()
        self._unpacked: Pixels | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Be copied, and sent to another process, with nothing unpacked."""
        return type(self), (self.path, self.inside)

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """Read as `Pixels` says; threads wait for the one that unpacks.

        Raises:
            InputError: the file is damaged, or there is no room to unpack it.
        """
        return self._content().read(plane, rows, columns, factor)

    def zeros(
        self, plane: tuple[int, ...], rows: range, columns: range
    ) -> NDArray[np.float32] | None:
        """Return what `Pixels` says of the unpacked file."""
        return self._content().zeros(plane, rows, columns)

    def _content(self) -> Pixels:
        with self._lock:
            if self._unpacked is None:
                folder = tempfile.mkdtemp(prefix="cosmodeep-")
                weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                content = Path(folder) / "unpacked"
                unpack(self.path, content)
                self._unpacked = self.inside(content)
            return self._unpacked
