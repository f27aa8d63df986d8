"""What a sweep has done so far, on disk: it goes on from there after any end."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import naming
from cosmodeep_hpc.io.checksum import crc32

FORMAT = 5
"""Raise it when entries hold other arrays: an earlier journal is not read."""
PREFIX = 9
"""Letters of a checksum in a line, and the blank behind."""
Entry = tuple[str, int, int]
"""What was done (`measure`, `classify`), of which plane, and which stripe of it."""


class Journal:
    """A file that results are added to, one after the other; rank 0 writes it.

    Its first line says of what it is the journal. An entry is a line of JSON with the types, the
    shapes and the checksum of its arrays by name, after a checksum of its own, and then the arrays.
    What a killed job has written in part is cut off when the file is opened again.
    """

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        """Open the journal at `path`, or begin it where it is missing or one of something else.

        Args:
            key: everything that the results depend on, as JSON takes it.

        Raises:
            InputError: it cannot be written.
        """
        self.path = path
        self.entries: dict[Entry, dict[str, NDArray[Any]]] = {}
        head = _head(key)
        with naming(path, "write"):
            path.touch()
            self._file = path.open("r+b")
            if self._file.readline() == head:
                whole = self._read()
            else:
                self._file.seek(0)
                self._file.write(head)
                whole = len(head)
            self._file.truncate(whole)
            self._file.seek(whole)
            self._file.flush()

    def _read(self) -> int:
        """Read the entries that are whole; where they end."""
        whole = self._file.tell()
        while line := self._file.readline():
            if line != _line(described := line[PREFIX:-1]):
                break
            about = json.loads(described)
            name, arrays = about["entry"], about["arrays"]
            kinds = [np.dtype(kind) for kind, _ in arrays.values()]
            shapes = [tuple(shape) for _, shape in arrays.values()]
            sizes = [
                math.prod(shape) * kind.itemsize for shape, kind in zip(shapes, kinds, strict=True)
            ]
            content = self._file.read(sum(sizes))
            if len(content) != sum(sizes) or crc32(content) != about["crc32"]:
                break
            ends = np.cumsum(sizes)
            self.entries[(name[0], name[1], name[2])] = {
                array: np.frombuffer(content[end - size : end], kind).reshape(shape)
                for array, kind, shape, size, end in zip(
                    arrays, kinds, shapes, sizes, ends, strict=True
                )
            }
            whole = self._file.tell()
        return whole

    def add(self, entry: Entry, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add what was done; a process killed from now on does not lose it.

        Raises:
            InputError: it cannot be written, or the disk is full.
        """
        parts = [np.ascontiguousarray(array) for array in arrays.values()]
        checksum = 0
        for part in parts:
            checksum = crc32(part, checksum)
        about = {
            "entry": entry,
            "arrays": {name: (array.dtype.str, array.shape) for name, array in arrays.items()},
            "crc32": checksum,
        }
        with naming(self.path, "write"):
            self._file.write(_line(json.dumps(about).encode()))
            self._file.writelines(part.data for part in parts)
            self._file.flush()
        self.entries[entry] = dict(arrays)

    def close(self) -> None:
        """Leave it on disk, for another time."""
        with naming(self.path, "write"):
            os.fsync(self._file.fileno())
        self._file.close()

    def remove(self) -> None:
        """Remove it: the products are there."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def is_of(path: Path, key: dict[str, Any]) -> bool:
    """Return whether there is a journal at `path`, and of this."""
    with suppress(OSError), path.open("rb") as file:
        return file.readline() == _head(key)
    return False


def _line(described: bytes) -> bytes:
    """Return the line that describes an entry, with its checksum before it."""
    return b"%08x %b\n" % (crc32(described), described)


def _head(key: dict[str, Any]) -> bytes:
    return json.dumps({"format": FORMAT, **key}, sort_keys=True).encode() + b"\n"
