"""Classifying one image in memory: the function behind `cosmodeep_hpc.classify`."""

from __future__ import annotations

import inspect
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import in_one_line
from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.io.files import path_of
from cosmodeep_hpc.islands.excluded import Excluded
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.parallel.world import alone
from cosmodeep_hpc.products import arguments
from cosmodeep_hpc.products.classification import Classification
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.destination import Nowhere
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.survey.result import MosaicResult
from cosmodeep_hpc.survey.scheduler import SweepOptions
from cosmodeep_hpc.survey.sweep import sweep
from cosmodeep_hpc.survey.task import MosaicOutcome


@in_one_line
def classify(
    image: str | Path | ArrayLike,
    about: fits.Header | WCS | None = None,
    /,
    *,
    model: str | Path | TrainedModel | None = None,
    unit: str | u.UnitBase | None = None,
    beam: Beam | Sequence[Any] | Any = None,
    hdu: int | str | None = None,
    planes: int | Sequence[int] | None = None,
    rms: float | str | Path | ArrayLike | None = None,
    threshold: float | None = None,
    exclude: str | Path | None = None,
    config: Config | str | Path | Mapping[str, Any] | None = None,
    name: str = arguments.ARRAY,
    **options: Any,
) -> Classification:
    """Find diffuse emission in an image; the result is that of the command, bit for bit.

    Nothing is written, and nothing of the process is changed. From an array, which is neither
    copied nor changed, `about` is its FITS header, or its WCS alone with `unit` and `beam`.

    Args:
        image: a FITS file of 2 to 4 axes, plain or packed; or an array (rows, columns) with
            further axes before them as FITS has them: numbers of any type and byte order, a masked
            array (masked: no data), or a Quantity.
        about: of an array.
        model: name of a model of the package, `.keras` file, run folder, or what `load_model` gave;
            None: the package's for survey images, `robust`.
        unit: of an array's numbers, in place of the header's, such as "Jy/beam".
        beam: in place of the header's: BMAJ, BMIN [arcsec] and BPA [deg], numbers or Quantities,
            or a beam of radio_beam.
        hdu: number or EXTNAME of the HDU; None: the first with an image of the sky.
        planes: numbers of the planes of a cube, from 0; None: all.
        rms: noise in the image's unit: a number, a FITS map of it or an array; None: measured.
        threshold: probability from which a tile is signal; None: the model's.
        exclude: what is left out of the measures of islands: a file of regions of DS9 or CASA, or a
            VOTable of compact sources.
        config: a configuration, a TOML file of one, or its sections as plain values.
        name: what messages and products call an array; `write` needs another for each.
        options: of the section `classify` (`cosmodeep config` lists them), such as `stride`,
            `noise`, `any_scale`, `point`, `min_coverage`, `products`; and `f_th`, `n_pix`: the rule
            that a model of many rules is read by.

    Raises:
        InputError: an image that cannot be swept, a bad model, or a value that is not allowed:
            one line that says what was found, what was expected and what to do.
        TypeError: an unknown keyword, or an array without `about`.
    """
    known = (*_KEYWORDS, *arguments.OPTIONS, *arguments.RULE)
    arguments.refuse_unknown("classify", options, known)
    source = arguments.image_of(image, about, unit, hdu, name)
    request = SweepRequest(
        model=arguments.model_of(model),
        hdu=hdu,
        planes=arguments.planes_of(planes),
        beam=arguments.beam_of(beam),
        rms=arguments.rms_of(rms),
        threshold=arguments.threshold_of(threshold),
        exclude=None if exclude is None else path_of("exclude", exclude),
    )
    settings = arguments.config_of(config, options)
    return classified(SweepPlan.of([source], settings, request, alone()))


_KEYWORDS = tuple(
    parameter.name
    for parameter in inspect.signature(classify).parameters.values()
    if parameter.kind is parameter.KEYWORD_ONLY
)


def classified(plan: SweepPlan) -> Classification:
    """Sweep the one image of a plan, on this process alone.

    Raises:
        InputError: it cannot be swept.
    """
    memory = Memory()
    exclude = plan.request.exclude
    excluded = None if exclude is None else Excluded.read(exclude)
    try:
        found = Findings(swept_into(memory, plan), plan.config, excluded)
        _ = found.catalogue  # measured now: the image may be changed before it is asked for
    except BaseException:
        memory.scratch.remove()
        raise
    return Classification(found, memory.scratch, of_array=isinstance(plan.images[0], ImageArray))


def swept_into(memory: Memory, plan: SweepPlan) -> MosaicResult:
    """Sweep the one image of a plan, on this process alone.

    Raises:
        InputError: it cannot be swept.
    """
    sweep(plan, memory, alone(), SweepOptions(strict=True))
    assert memory.swept is not None  # no image fails silently where the sweep is strict
    return memory.swept


class Scratch:
    """A folder for what a packed file holds; it goes with the last result that reads it."""

    def __init__(self) -> None:
        """Make nothing before it is needed."""
        self._end: weakref.finalize[[str], Scratch] | None = None

    @cached_property
    def path(self) -> Path:
        """The folder."""
        made = tempfile.mkdtemp(prefix="cosmodeep-")
        self._end = weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return Path(made)

    def __deepcopy__(self, memo: dict[int, Any]) -> Scratch:
        """Be the folder of a copy, too: it then goes with the last of both."""
        return self

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        """Stay with this process: a result sent to another has what was measured in memory."""
        return Scratch, ()

    def remove(self) -> None:
        """Remove it, where it was made."""
        if self._end is not None:
            self._end()


class Memory(Nowhere):
    """Keeps a swept mosaic: the `Destination` of one image, with nothing left on disk."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.swept: MosaicResult | None = None
        self.scratch = Scratch()

    def unpacked(self, image: Path) -> Path:
        """Return a temporary file: a packed one can only be read from its beginning."""
        return self.scratch.path / "unpacked"

    def take(self, swept: MosaicResult) -> MosaicOutcome:
        """Keep it."""
        self.swept = swept
        return super().take(swept)
