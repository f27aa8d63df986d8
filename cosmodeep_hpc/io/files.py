"""Files that are complete or absent: written beside their final name, then renamed."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cosmodeep_hpc.errors import InputError, naming

if TYPE_CHECKING:
    import h5py

UNIQUE = 32  # random letters of a temporary name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; rename it to `path` once it is complete.

    A reader therefore never sees half a file, and a failure leaves the earlier file untouched. The
    temporary name keeps the suffix of `path`, since some writers choose a format by it, and differs
    between processes that write the same file at the same time.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    temporary = _temporary_name(path)
    try:
        with naming(path, "write"):
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):  # it is missing or is in a missing folder: the first error counts
            temporary.unlink()


@contextmanager
def replacing_together() -> Iterator[Callable[[Path], Path]]:
    """Yield a function that gives temporary names; rename all files once all are complete.

    A failure before that leaves the earlier files untouched, as with `replacing`. All files are
    synced to disk at once: ten small files take little longer than one.

    Raises:
        InputError: a folder cannot be written, or the disk is full.
    """
    temporaries: dict[Path, Path] = {}

    def temporary_of(path: Path) -> Path:
        temporaries[path] = _temporary_name(path)
        return temporaries[path]

    def sync(path: Path) -> None:
        with naming(path, "write"):
            _sync(temporaries[path])

    try:
        yield temporary_of
        with ThreadPoolExecutor(max(1, len(temporaries))) as threads:
            list(threads.map(sync, temporaries))  # raises the error of any of them
        for path, temporary in temporaries.items():
            with naming(path, "write"):
                temporary.replace(path)
        for folder in {path.parent for path in temporaries}:
            with naming(folder, "write in"):
                _sync_folder(folder)
    finally:
        for temporary in temporaries.values():
            with suppress(OSError):
                temporary.unlink()


def left_beside(paths: Iterable[Path]) -> list[Path]:
    """Return the temporary files that killed processes left for `paths`, which share a folder."""
    named = {(f".{path.stem}.", f".part{path.suffix}"): path for path in paths}
    return [
        found
        for folder in {path.parent for path in named.values()}
        for found in folder.glob(".*.part*")
        if any(
            found.name.startswith(before)
            and found.name.endswith(after)
            and len(found.name) == len(before) + UNIQUE + len(after)
            for before, after in named
        )
    ]


def _temporary_name(path: Path) -> Path:
    """Return a temporary name for `path`, made unique by `UNIQUE` letters."""
    return path.with_name(f".{path.stem}.{uuid4().hex}.part{path.suffix}")


@contextmanager
def replacing_hdf5(
    path: Path, verify: Callable[[Path], None] = lambda written: None
) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; write its content to `path`, completely or not at all.

    It is made in memory: on a full disk, the HDF5 library itself may crash the process.

    Args:
        verify: called with the written file before it gets its name; an error that it raises keeps
            the earlier file.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    with _hdf5_in_memory() as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        verify(temporary)


def hdf5_content(fill: Callable[[h5py.File], None]) -> bytes:
    """Return the bytes of an HDF5 file that `fill` fills, made in memory."""
    with _hdf5_in_memory() as file:
        fill(file)
        file.flush()
        return bytes(file.id.get_file_image())


def fits_content(*hdus: Any) -> bytes:
    """Return the bytes of a FITS file of astropy's HDUs, made in memory.

    Where a disk is full, astropy's own writing to a file may end in one that is too short, without
    an error.
    """
    from astropy.io import fits

    content = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(content)
    return content.getvalue()


def link_kind(group: h5py.Group, name: str) -> str:
    """Return the kind of link of a name in an HDF5 file, such as "an external"; empty for none.

    The link itself is examined: looking up the name would follow it.
    """
    import h5py

    kind = group.id.links.get_info(name.encode()).type
    if kind == h5py.h5l.TYPE_HARD:
        return ""
    kinds = {h5py.h5l.TYPE_EXTERNAL: "an external", h5py.h5l.TYPE_SOFT: "a soft"}
    return kinds.get(kind, "an unknown")


def _hdf5_in_memory() -> h5py.File:
    import h5py

    return h5py.File("memory", "w", driver="core", backing_store=False, block_size=2**20)


def _sync(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, so that a power cut cannot undo it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems do not sync folders; the file is whole anyway
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8")


def json_text(content: Any) -> str:
    """Return `content` as indented JSON, as our files hold it."""
    return json.dumps(content, indent=2) + "\n"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: it cannot be read, or it is not JSON.
    """
    with naming(path):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error


def path_of(name: str, given: object) -> Path:
    """Return the path that a caller from Python gives for an argument.

    Raises:
        TypeError: it is none.
        InputError: it is empty, and would be the folder that the process is in.
    """
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f"{name} = {given!r}: expected a path")
    if given == "":
        raise InputError(f"{name} = '': an empty name; expected a path")
    return Path(given)


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
    """Return the SHA-256 of a file, in hexadecimal, read in pieces."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
