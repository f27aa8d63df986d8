"""Files of the old `compress` (.Z), unpacked as a stream."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAGIC = b"\x1f\x9d"
_CLEAR = 256  # the code that empties the table, where the file has such codes
_PIECE = 2**16
_LONGEST_TAIL = 64


class LzwFile(io.RawIOBase):
    """The content of a .Z file, read forwards; going back starts again.

    There is no checksum in such a file: one that ends early only has less in it.

    Raises:
        OSError: it is damaged.

    Source: Welch (1984), Computer 17, 6; the layout of codes as of compress 4.2.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._rewind()

    def _rewind(self) -> None:
        self._pieces = _decode(self._path)
        self._left = b""
        self._position = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Any place can be gone to, by reading up to it."""
        return True

    def tell(self) -> int:
        """The place in the content."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a part of `buffer`; 0 at the end."""
        target = memoryview(buffer).cast("B")
        if not self._left:
            self._left = next(self._pieces, b"")
        taken = self._left[: len(target)]
        target[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        self._position += len(taken)
        return len(taken)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to `offset` from the beginning, or to the end of the content if that comes first."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        if offset < self._position:
            self._rewind()
        while self._position < offset and self.read(min(_PIECE, offset - self._position)):
            pass
        return self._position


class _Table:
    """The strings that codes stand for: each a tail behind an earlier code's string.

    Tails stay short, so that a blank image, whose strings grow with each code, takes no more
    memory than another.
    """

    def __init__(self, clears: bool) -> None:
        self._least = 257 if clears else 256
        self.tails = [bytes([value % 256]) for value in range(self._least)]
        self.bases = [-1] * self._least
        self.heads = list(self.tails)

    def __len__(self) -> int:
        return len(self.tails)

    def clear(self) -> None:
        del self.tails[self._least :], self.bases[self._least :], self.heads[self._least :]

    def add(self, code: int, letter: bytes) -> None:
        """A new code: the string of `code` with one more letter."""
        if len(self.tails[code]) < _LONGEST_TAIL:
            self.tails.append(self.tails[code] + letter)
            self.bases.append(self.bases[code])
        else:
            self.tails.append(letter)
            self.bases.append(code)
        self.heads.append(self.heads[code])

    def string(self, code: int) -> bytes:
        tail, code = self.tails[code], self.bases[code]
        if code < 0:
            return tail
        parts = [tail]
        while code >= 0:
            parts.append(self.tails[code])
            code = self.bases[code]
        return b"".join(reversed(parts))


def _decode(path: Path) -> Iterator[bytes]:
    """The content in pieces."""
    with path.open("rb") as file:
        head = file.read(3)
        if len(head) < 3 or head[:2] != MAGIC or not 9 <= head[2] & 31 <= 16:
            raise OSError("not a file of compress")
        longest, clears = head[2] & 31, bool(head[2] & 128)
        table = _Table(clears)
        width, previous = 9, -1
        piece: list[bytes] = []
        gathered = 0
        while group := file.read(width):  # eight codes of one width take `width` bytes
            bits = int.from_bytes(group, "little")
            for number in range(8 * len(group) // width):
                code = (bits >> (number * width)) & ((1 << width) - 1)
                if code == _CLEAR and clears:
                    table.clear()
                    width, previous = 9, -1
                    break  # the rest of the group is padding
                if code > len(table) or (code == len(table) and previous < 0):
                    raise OSError("a code in it is out of range: it is damaged")
                if previous >= 0 and len(table) < 1 << longest:
                    table.add(previous, table.heads[code if code < len(table) else previous])
                if code >= len(table):
                    raise OSError("a code in it is out of range: it is damaged")
                previous = code
                piece.append(table.string(code))
                gathered += len(piece[-1])
                if len(table) == 1 << width and width < longest:
                    width += 1
                    break  # so is the rest of this one
            if gathered >= _PIECE:
                yield b"".join(piece)
                piece, gathered = [], 0
        yield b"".join(piece)
