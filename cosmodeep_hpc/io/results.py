"""The folder of a stage's results: the stage replaces its own files alone, and all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmodeep_hpc.errors import InputError, naming


@dataclass(frozen=True)
class ResultFiles:
    """What a stage writes into a folder of results.

    Attributes:
        stage: its command.
        record: name of the JSON file that tells its results from those of others.
        entries: some that the record has.
        later: names of files written after the record.
        pictures: patterns of names of files written before it; a job that was killed leaves them.
    """

    stage: str
    record: str
    entries: tuple[str, ...]
    later: tuple[str, ...]
    pictures: tuple[str, ...]

    def spare_others(self, folder: Path) -> None:
        """Refuse a folder in which a file of another stage, or of the user, would be replaced.

        Raises:
            InputError: there is such a file.
        """
        if (folder / self.record).exists():
            names: Sequence[str] = () if self._is_own(folder / self.record) else (self.record,)
        else:
            names = [name for name in self.later if (folder / name).exists()]
        for name in names:
            raise InputError(
                f"{folder / name}: already exists and was not written by {self.stage}; choose "
                "another --out, or move the file"
            )

    def _is_own(self, record: Path) -> bool:
        with naming(record):
            written = record.read_bytes()
        try:
            content = json.loads(written)
        except ValueError:  # no JSON: of somebody else
            return False
        return isinstance(content, dict) and set(self.entries) <= content.keys()

    def renew(self, folder: Path) -> None:
        """Remove what an earlier run left in a folder; the record goes last.

        Raises:
            InputError: the folder cannot be written.
        """
        pictures = [old for pattern in self.pictures for old in folder.glob(pattern)]
        with naming(folder, "remove the earlier results in"):
            for old in (*pictures, *(folder / name for name in (*self.later, self.record))):
                old.unlink(missing_ok=True)
