"""The folder that a sweep of many mosaics leaves its products in, and goes on in after any end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import left_beside, make_folder
from cosmodeep_hpc.io.progress import silent
from cosmodeep_hpc.islands.excluded import Excluded
from cosmodeep_hpc.parallel.locks import holder_of, locked
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.products import summary
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.products.names import record_of, stem
from cosmodeep_hpc.products.provenance import FORMAT
from cosmodeep_hpc.products.writing import finished, of_config, product_names, write
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest, stamp
from cosmodeep_hpc.survey.result import MosaicResult
from cosmodeep_hpc.survey.scheduler import SweepOptions
from cosmodeep_hpc.survey.sweep import sweep
from cosmodeep_hpc.survey.task import MosaicOutcome


@dataclass(frozen=True)
class ProductFolder:
    """A folder that products are written to: the `Destination` of the command.

    Beside them lie, while a sweep is on its way or was ended, a lock, a journal and what was
    unpacked of packed files.

    Attributes:
        config, excluded: see `Findings`.
        restart: whether what an earlier sweep has left is done anew.
    """

    path: Path
    config: Config
    excluded: Excluded | None = None
    restart: bool = False

    def prepare(self, images: Sequence[Path]) -> None:
        """Make the folder, and refuse images that cannot be swept into it together.

        Raises:
            InputError: as `spare_images` does; there is a `summary.csv` that no sweep wrote; or the
                folder cannot be written.
        """
        self.spare_images(images)
        make_folder(self.path)
        if not self.restart:
            summary.spare_other(self.path / summary.NAME)

    def spare_images(self, images: Sequence[Path]) -> None:
        """Refuse images that cannot be swept into the folder together.

        Raises:
            InputError: an image lies in the way of a product, or products of two would have one
                name.
        """
        products = {name: image for image in images for name in product_names(image)}
        names: dict[str, Path] = {}
        with naming(self.path, "make"):  # where the folder we are in was removed
            here = self.path.resolve()
        for image in images:
            if image.name in products and image.parent.resolve() == here:
                raise InputError(
                    f"{image}: a product of {products[image.name]} would overwrite it; choose "
                    "another folder"
                )
            other = names.setdefault(stem(image), image)
            if other is not image:
                raise InputError(
                    f"{image}: its products would have the names of those of {other}; rename one "
                    "of the images, or choose another --out for it"
                )

    # --- methods of `Destination` ---

    @contextmanager
    def locked(self, image: Path) -> Iterator[None]:
        """Lock an image's products; with `restart` an earlier journal goes."""
        record = record_of(image, self.path)
        with locked(record, alone=False) as mine:
            if not mine:
                holder = holder_of(record) or "another process"
                raise InputError(f"{record}: {holder} is making it now; wait for its end")
            if self.restart:
                self.journal(image).unlink(missing_ok=True)
                self.map_file(image).unlink(missing_ok=True)
            else:
                self.spare_others(image)
            yield

    def spare_others(self, image: Path) -> None:
        """Refuse to overwrite files that have the name of a product and come from no sweep.

        A sweep leaves a record or, until that is written, a journal. Another JSON file with the
        record's name does not count as one.

        Raises:
            InputError: there is such a file.
        """
        if finished(record_of(image, self.path)) or self.journal(image).exists():
            return
        for name in product_names(image):
            if (self.path / name).exists():
                raise InputError(
                    f"{self.path / name}: already exists and was not written by a sweep; choose "
                    "another folder, or add --restart (in Python overwrite=True) to overwrite it"
                )

    def may_be_kept(self, image: Path) -> bool:
        """Return whether there is a record."""
        return not self.restart and record_of(image, self.path).exists()

    def kept(self, image: Path, key: str) -> MosaicOutcome | None:
        """Return what the record says, if it is of this key and all products wanted are there.

        A record of another format counts as none.
        """
        content = finished(record_of(image, self.path))
        if content.get("format") != FORMAT:
            return None
        files = content.get("products", {})
        made = {kind for kind, name in files.items() if (self.path / name).exists()}
        wanted = {product.name for product in of_config(self.config)}
        if content.get("key") == key and made == set(files) and wanted <= made:
            return self._outcome(image, content, "kept")
        return None

    def journal(self, image: Path) -> Path:
        """Return a hidden file."""
        return self.path / f".{stem(image)}.journal"

    def clear(self, image: Path) -> None:
        """Remove products that were not finished."""
        for left in left_beside(self.path / name for name in product_names(image)):
            left.unlink(missing_ok=True)

    def map_file(self, image: Path) -> Path:
        """Return a hidden file."""
        return self.path / f".{stem(image)}.map"

    def unpacked(self, image: Path) -> Path:
        """Return a hidden file, of another name where the file is another one."""
        digest = hashlib.sha256(repr(stamp(image)).encode()).hexdigest()
        return self.path / f".{image.name}.{digest[:16]}.unpacked"

    def take(self, swept: MosaicResult) -> MosaicOutcome:
        """Write the products."""
        record = write(Findings(swept, self.config, self.excluded), self.config, self.path)
        return self._outcome(swept.path, record, "done")

    def leave(self, image: Path) -> None:
        """Remove what was unpacked of a file of this name, by sweeps that were killed too.

        The map stays where its journal does.
        """
        if not self.journal(image).exists():
            self.map_file(image).unlink(missing_ok=True)
        for left in self.path.glob(".*.unpacked"):
            if left.name.startswith(f".{image.name}."):
                left.unlink(missing_ok=True)

    def _outcome(
        self, image: Path, record: dict[str, Any], state: Literal["done", "kept"]
    ) -> MosaicOutcome:
        """Return what is told of a mosaic, from the record of its products."""
        tiles, mask = record["tiles"], record["products"].get("mask")
        return MosaicOutcome(
            path=image,
            state=state,
            cells=tiles["signal"] + tiles["noise"] + tiles["no_data"],
            signal=tiles["signal"],
            no_data=tiles["no_data"],
            islands=record["islands"],
            mask=None if mask is None else self.path / mask,
            notes=tuple(record["notes"]),
        )


def classify_into(
    folder: ProductFolder,
    images: Sequence[Path],
    request: SweepRequest,
    world: World,
    options: SweepOptions | None = None,
) -> list[MosaicOutcome] | None:
    """Classify mosaics and write their products and a summary; a collective call.

    Returns:
        what `sweep` returns.

    Raises:
        InputError: bad usage or a bad model; with `options.strict`, an image that cannot be swept.
    """

    def prepare() -> None:
        if not images:
            raise InputError("classify: no image; expected IMAGE..., or --list FILE")
        folder.prepare(images)

    world.on_root(prepare)
    plan = SweepPlan.of(images, folder.config, request, world)
    outcomes = sweep(plan, folder, world, options, listens=True)
    if world.is_root and outcomes is not None:
        progress = silent if options is None else options.progress
        summary.write(folder.path, outcomes, lambda note: progress(0, 1, note))
    return outcomes
