"""Files that are whole or not there: written beside their final name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cosmodeep_hpc.errors import InputError, naming

if TYPE_CHECKING:
    import h5py


@contextmanager
def replacing(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; rename it to `path` once it is whole.

    A reader therefore never sees half a file, and a failure leaves the earlier file untouched.
    The temporary name keeps the suffix of `path`, since some writers choose a format by it; nodes
    that write the same file at the same time do not meet in it.

    Args:
        lasting: whether a power cut afterwards cannot undo the rename; else only one that comes
            after the next lasting file of the folder, or after `sync_folder`.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{uuid4().hex}.part{path.suffix}")
    try:
        with naming(path, "write"):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
            if lasting:
                sync_folder(path.parent)
    finally:
        with suppress(OSError):  # not there, or a folder that cannot be: the first error counts
            temporary.unlink()


@contextmanager
def replacing_hdf5(
    path: Path, verify: Callable[[Path], None] = lambda written: None
) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; its content is written to `path`, whole or not at all.

    It is made in memory: where a disk is full, the HDF5 library itself may crash the process.

    Args:
        verify: called with the written file before it gets its name; what it raises keeps the
            earlier file.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    import h5py

    with h5py.File(path.name, "w", driver="core", backing_store=False, block_size=2**20) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        verify(temporary)


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder durable, so that a power cut cannot undo it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems do not sync folders; the file is whole anyway
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read, or it is not JSON.
    """
    with naming(path):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error


def make_folder(path: Path) -> Path:
    """Create the output folder `path` and prove that it can be written.

    Raises:
        InputError: it is a file, or cannot be made or written.
    """
    with naming(path, "make"):
        path.mkdir(parents=True, exist_ok=True)
    with naming(path, "write in"):
        probe = path / f".probe.{uuid4().hex}"
        probe.touch()
        probe.unlink()
    return path


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in pieces."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
