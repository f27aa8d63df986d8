"""The bytes of a file at any place of it: of a plain file, or inside a packed one."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from cosmodeep_hpc.images.unpack import is_packed, open_packed


class Storage(Protocol):
    """What headers and pixels are read from.

    Attributes:
        size: bytes in all; None where only reading to the end would tell.
    """

    size: int | None

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from byte `offset` on; returns how many bytes there were.

        Raises:
            OSError, EOFError and what decompressors raise: it cannot be read.
        """
        ...


class PlainFile:
    """A file as it is, open only while it is read: thousands of mosaics need no descriptors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: int | None = path.stat().st_size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """As of `Storage`; any number of threads at once."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            done = 0
            while done < len(buffer):  # the system reads at most 2 GiB at once
                got = os.preadv(descriptor, [buffer[done:]], offset + done)
                if got == 0:
                    break
                done += got
            return done
        finally:
            os.close(descriptor)


class PackedFile:
    """The inside of a packed file; going back in it starts from its beginning again.

    Attributes:
        data_end: a read that comes this far goes on to the end, where the checksum is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: int | None = None
        self.data_end: int | None = None
        self._close()

    def _close(self) -> None:
        """Have nothing read."""
        self._stream: Any = None
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to open the file again."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open nothing yet."""
        vars(self).update(state)
        self._close()

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """As of `Storage`; threads wait for each other."""
        with self._lock:
            if self._stream is None:
                self._stream = open_packed(self.path)
            if self._stream.seek(offset) != offset:
                return 0
            done = 0
            while done < len(buffer):
                got = self._stream.readinto(buffer[done : done + 2**22])
                if not got:
                    break
                done += got
            if self.data_end is not None and offset + done >= self.data_end:
                while self._stream.read(2**20):
                    pass
            return done


def storage_of(path: Path) -> Storage:
    """The bytes of a file, unpacked on the way where it is packed.

    Raises:
        OSError: it cannot be read.
    """
    return PackedFile(path) if is_packed(path) else PlainFile(path)


def read(storage: Storage, offset: int, length: int) -> bytes:
    """At most `length` bytes from `offset` on, fewer at the end of the file."""
    buffer = bytearray(length)
    return bytes(buffer[: storage.read_into(memoryview(buffer), offset)])
