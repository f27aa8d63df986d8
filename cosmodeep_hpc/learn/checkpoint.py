"""Checkpoints: the state of a run in one HDF5 file, which is complete or does not exist."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import link_kind, make_folder, replacing, replacing_hdf5
from cosmodeep_hpc.learn.stopping import Standing

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
LATEST = "latest"  # file in it: the name of the newest checkpoint that is on the disk
FORMAT = 3

Arrays = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands: its variables and a few integers.

    Attributes:
        epoch: epoch to continue. step: global batches done in it. total_steps: done in all.
        recipe: all that decides the result of the run (runfolder.recipe_of).
        weights, optimizer: values of the network's and of the optimizer's variables, in order.
        seed: of the run.
        ranks: number of ranks at work.
        standing: how the validations went.
    """

    epoch: int
    step: int
    total_steps: int
    recipe: str
    weights: Arrays
    optimizer: Arrays
    seed: int = 0
    ranks: int = 1
    standing: Standing = Standing()

    @property
    def arrays(self) -> dict[str, Arrays]:
        """The variables, by their group in the file."""
        best = self.standing.best_weights
        return {"weights": self.weights, "optimizer": self.optimizer, "best_weights": best}

    @property
    def numbers(self) -> dict[str, Any]:
        """The other values, by their attribute in the file."""
        own = ("epoch", "step", "total_steps", "recipe", "seed", "ranks")
        standing = asdict(replace(self.standing, best_weights=()))
        del standing["best_weights"]
        return {n: getattr(self, n) for n in own} | {
            f"validation_{n}": v for n, v in standing.items()
        }

    @property
    def crc32(self) -> int:
        """One checksum of variables and values."""
        found = zlib.crc32(repr(self.numbers).encode())
        for group, values in self.arrays.items():
            found = zlib.crc32(f"{group} {len(values)}".encode(), found)
            for value in values:
                found = zlib.crc32(np.ascontiguousarray(value).tobytes(), found)
        return found


def write(run: Path, state: State, keep: int) -> Path:
    """Write a checkpoint of a run folder, and delete all but the newest `keep`.

    The file is read back from the disk before it gets its name; then `latest` names it.

    Raises:
        InputError: it cannot be written, or what was read back differs.
    """
    folder = run / FOLDER
    make_folder(folder)
    path = folder / f"step-{state.total_steps:08d}.h5"
    crc32 = state.crc32

    def verify(written: Path) -> None:
        _drop_from_cache(written)
        if read(written).crc32 != crc32:
            raise InputError(f"{path}: what was read back is not what was written; check the disk")

    with replacing_hdf5(path, verify) as file:
        for group, values in state.arrays.items():
            file.create_group(group)
            for number, value in enumerate(values):
                file[group].create_dataset(f"{number:03d}", data=value)
        file.attrs.update({**state.numbers, "format": FORMAT, "crc32": crc32})
    with replacing(folder / LATEST) as temporary:
        temporary.write_text(f"{path.name}\n")
    with naming(folder, "remove old checkpoints in"):
        for old in newest(run)[keep:]:  # this one is the first: `latest` names it
            old.unlink(missing_ok=True)
    return path


def _drop_from_cache(path: Path) -> None:
    """Write a file to the disk and drop it from the page cache, to read it back from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def newest(run: Path) -> list[Path]:
    """Return the checkpoints of a run folder: the one named in `latest`, then the newest first."""
    paths = sorted((run / FOLDER).glob("step-*.h5"), reverse=True)
    try:
        named = (run / FOLDER / LATEST).read_text().strip()
    except (OSError, ValueError):
        named = ""
    return sorted(paths, key=lambda path: path.name != named)


def read(path: Path) -> State:
    """Read a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = dict(file.attrs)
            groups = {n: _member(file, n) for n in ("weights", "optimizer", "best_weights")}
            arrays = {
                n: [_member(group, name)[()] for name in sorted(group)]
                for n, group in groups.items()
            }
        expected = int(attributes["crc32"])
        state = _state(attributes, arrays)
    except Exception as error:  # a damaged HDF5 file fails in any part of h5py
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"{path}: damaged checkpoint ({reason})") from error
    if state.crc32 != expected:
        raise InputError(f"{path}: damaged checkpoint (checksum differs)")
    return state


def _member(group: h5py.Group, name: str) -> Any:
    """Return a group or dataset of a file; raise if it is a link, or keeps its data elsewhere."""
    if kind := link_kind(group, name):
        raise ValueError(f"{name!r} is {kind} link; refused")
    found = group[name]
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise ValueError(f"{name!r} has its data in another file; refused")
    return found


def _state(attributes: dict[str, Any], arrays: dict[str, Any]) -> State:
    if attributes.get("format") != FORMAT:
        raise ValueError(f"format {attributes.get('format')}; expected {FORMAT}")
    blank = State(epoch=0, step=0, total_steps=0, recipe="", weights=(), optimizer=())
    values = {name: type(value)(attributes[name]) for name, value in blank.numbers.items()}
    of_standing = {n: v for n, v in values.items() if n.startswith("validation_")}
    standing = Standing(
        best_weights=arrays.pop("best_weights"),
        **{name.removeprefix("validation_"): v for name, v in of_standing.items()},
    )
    own = {n: v for n, v in values.items() if n not in of_standing}
    return State(**own, **arrays, standing=standing)


def latest(run: Path) -> tuple[Path, State] | None:
    """Return the newest checkpoint of a run folder that loads; None if there are no checkpoints.

    Raises:
        InputError: there are checkpoints, but none loads.
    """
    failures: list[InputError] = []
    for path in newest(run):
        try:
            state = read(path)
        except InputError as error:
            failures.append(error)
            continue
        for failure in failures:
            logger.warning("%s; passed over for %s", failure, path.name)
        return path, state
    if failures:
        text = "no checkpoint loads; choose another --out, or add --restart to begin anew"
        raise InputError(f"{failures[0]}; {text}") from failures[0]
    return None
