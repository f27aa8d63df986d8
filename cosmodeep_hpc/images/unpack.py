"""Files packed as a whole (.gz, .bz2, .xz, .Z): told by their content, and unpacked."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import replacing


def _open_lzw(path: Path) -> Any:
    """Open a file of the old `compress`.

    Raises:
        InputError: the package that reads it is not there.
        OSError: it is none, or damaged at its start.
    """
    try:
        from uncompresspy import LZWFile
    except ImportError as error:
        raise InputError(
            f"{path}: packed by compress (.Z), which needs the package uncompresspy; "
            "pip install uncompresspy, or unpack it by hand (gunzip)"
        ) from error
    try:
        return LZWFile(path, warn_truncation=False)
    except ValueError as error:
        raise OSError(str(error)) from error


_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x1f\x9d": _open_lzw,
}
# Packed in ways that are named but not read.
_FOREIGN = {b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7z"}

_PIECE = 2**22

# What decompressors raise of damaged content.
DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def is_packed(path: Path) -> bool:
    """Tell whether a file is packed as a whole, so that it can only be read from its beginning.

    By its content, whatever its name. A file with tile-compressed images (.fz) is not packed.

    Raises:
        OSError: it cannot be read.
    """
    return _opener(_first_bytes(path)) is not None


def foreign(path: Path) -> str:
    """Name what packed a file that cannot be unpacked here; empty for any other.

    Raises:
        OSError: it cannot be read.
    """
    start = _first_bytes(path)
    return next((name for magic, name in _FOREIGN.items() if start.startswith(magic)), "")


def open_packed(path: Path) -> Any:
    """Open the content of a packed file as a stream.

    Raises:
        OSError: it cannot be read, or is not packed.
        InputError: it takes a package that is not there.
    """
    opener = _opener(_first_bytes(path))
    if opener is None:
        raise OSError("not a packed file")
    return opener(path)


def unpack(path: Path, target: Path) -> None:
    """Write the content of a packed file to `target`, whole or not at all, piece by piece.

    The decompressors check what the format carries: length and checksum, of which .Z has neither.

    Raises:
        InputError: truncated, damaged or not packed; or `target` cannot be written.
    """
    with naming(path):
        stream = open_packed(path)
    with stream, replacing(target) as temporary:
        try:
            file = temporary.open("wb")
        except OSError as error:
            raise _unwritable(path, target, error) from error
        with file:
            while piece := _next_piece(path, stream):
                try:
                    file.write(piece)
                    file.flush()
                except OSError as error:
                    raise _unwritable(path, target, error) from error


def _next_piece(path: Path, stream: Any) -> bytes:
    try:
        return bytes(stream.read(_PIECE))
    except DAMAGE as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: cannot read it: {error.strerror}") from error
        raise InputError(
            f"{path}: cannot be unpacked ({error}); expected a whole file: copy or make it again"
        ) from error


def _unwritable(path: Path, target: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: cannot unpack it to {target}: {error.strerror or error}; free space there, or "
        "unpack it by hand"
    )


def _first_bytes(path: Path) -> bytes:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # it may never end, or come only once
        raise OSError(errno.EINVAL, "not a file, but a pipe or a device; save it to a file first")
    with path.open("rb") as file:
        return file.read(6)


def _opener(start: bytes) -> Callable[[Path], Any] | None:
    return next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
