"""Where swept mosaics go. The sweep knows no products: what is made of it is decided above."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.survey.result import MosaicResult
from cosmodeep_hpc.survey.task import MosaicOutcome


class Destination(Protocol):
    """Takes swept mosaics, and keeps what a sweep has to keep on disk if it is to go on later.

    Each rank has one; rank 0 asks it about images, the rank that draws the task hands them over.
    """

    def locked(self, image: Path) -> AbstractContextManager[object]:
        """Keep other sweeps from an image while the block lasts.

        Raises:
            InputError: another has it, or there are files that no sweep has left.
        """

    def may_be_kept(self, image: Path) -> bool:
        """Return whether `kept` may find something: it is asked once the checksum is known."""

    def kept(self, image: Path, key: str) -> MosaicOutcome | None:
        """Return what an earlier sweep has left of an image, if it has this key."""

    def journal(self, image: Path) -> Path | None:
        """Return where to note what is done; None: nowhere, a sweep that is ended begins anew."""

    def clear(self, image: Path) -> None:
        """Remove what a sweep that was killed has left half-done of an image."""

    def map_file(self, image: Path) -> Path | None:
        """Return where ranks write the map of pixels; None: it stays in memory."""

    def unpacked(self, image: Path) -> Path:
        """Return where the content of a packed file is kept while it is needed."""

    def take(self, swept: MosaicResult) -> MosaicOutcome:
        """Take a mosaic that is swept.

        Raises:
            InputError: the image cannot be read again, or what is made of it cannot be written.
        """

    def leave(self, image: Path) -> None:
        """Forget an image: the sweep is done with it, whatever became of it."""


class Nowhere:
    """Takes nothing: for images that are only looked at."""

    def locked(self, image: Path) -> AbstractContextManager[None]:
        """Ask nobody else."""
        return nullcontext()

    def may_be_kept(self, image: Path) -> bool:
        """Keep nothing."""
        return False

    def kept(self, image: Path, key: str) -> None:
        """Keep nothing."""

    def journal(self, image: Path) -> None:
        """Keep no journal."""

    def clear(self, image: Path) -> None:
        """Leave all as it is: there is nothing of another sweep."""

    def map_file(self, image: Path) -> None:
        """Keep the map in memory."""

    def unpacked(self, image: Path) -> Path:
        """Refuse packed files: there is no place for their content.

        Raises:
            InputError: always.
        """
        raise InputError(f"{image}: packed; expected a plain FITS file here: unpack it first")

    def take(self, swept: MosaicResult) -> MosaicOutcome:
        """Let it go."""
        return MosaicOutcome(path=swept.path, state="done")

    def leave(self, image: Path) -> None:
        """Leave all as it is."""
