"""The card of a model: all that a user of the model must know, stored in its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cosmodeep_hpc import __version__
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.pixelmap import PixelMap
from cosmodeep_hpc.learn.rules import SHARE, RuleCalibrations
from cosmodeep_hpc.tiles.preprocessing import Preprocessing

FORMAT = 5
AGAIN = "copy the file again, or train the model again"
READ = {1, 2, 3, 4, FORMAT}
"""Formats that can be read: a card of format 1 has neither calibration nor other operating points,
one of format 2 no readings, one of format 3 neither beams nor local noise, one of format 4 no map.
"""
Point = Literal["accuracy", "completeness", "purity"]
"""An operating point: the largest As, or a SHARE of completeness (Ws) or of purity."""
AskedRule = tuple[float | None, int | None]
"""F_th [Jy/arcsec^2] and N_pix asked for; None: the model's own."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a user of a model must know.

    Attributes:
        preprocessing: that of its training tiles.
        f_th, n_pix: the labels it was trained on, or is asked for now [Jy/arcsec^2, pixel].
        threshold: probability from which a tile is signal, chosen on validation images: the one of
            the largest expected As, or of the operating point that was asked for.
        completeness, purity: the thresholds of those operating points; None: not known.
        calibration: turns the network's output into the probability that thresholds refer to; with
            `readings`, each rule has its own there.
        pixel_scale: median pixel size of its training images [arcsec].
        noise_rms: median noise of its training images [Jy/arcsec^2].
        trained_on: fingerprints of the images it has seen, in training or validation.
        seed: of the run.
        readings: of a counts network, the calibrations of all rules that it can be asked for.
        local_noise: median of the local noise of its training images [Jy/arcsec^2], which emission
            does not raise; None: not known.
        beams: widths of the beam, smallest and largest, that it was validated on, in pixels that
            the network sees; None: not known.
        pixels: of a counts network, how its map of pixels is made; None: from the finest scale
            alone, without calibration.
    """

    preprocessing: Preprocessing
    f_th: float
    n_pix: int
    threshold: float
    pixel_scale: float
    noise_rms: float
    trained_on: tuple[str, ...] = field(repr=False)
    seed: int
    completeness: float | None = None
    purity: float | None = None
    calibration: Calibration = field(default=Calibration(), repr=False)
    readings: RuleCalibrations | None = field(default=None, repr=False)
    beams: tuple[float, float] | None = None
    local_noise: float | None = None
    pixels: PixelMap | None = field(default=None, repr=False)

    @property
    def has_map(self) -> bool:
        """Whether the network gives a map of pixels: one of counts that sees beyond its tiles."""
        return self.readings is not None and self.preprocessing.margin > 0

    @property
    def pixel_map(self) -> PixelMap:
        """How the map of pixels of a counts network is made and read."""
        assert self.readings is not None
        return self.pixels or PixelMap.plain(self.readings.thresholds)

    @property
    def quiet(self) -> float:
        """Noise of the training [Jy/arcsec^2] that local noise is compared with."""
        return self.noise_rms if self.local_noise is None else self.local_noise


def at(card: Card, point: Point, source: Path) -> Card:
    """Return the card with the threshold of an operating point.

    Raises:
        InputError: the model does not know it: `source` was trained without validation images.
    """
    if point == "accuracy":
        return card
    threshold: float | None = getattr(card, point)
    if threshold is None:
        raise InputError(
            f"{source}: no threshold for a {point} of {SHARE}: expected a model that was trained "
            "with validation images by this version; leave classify.point out, or give --threshold"
        )
    return replace(card, threshold=threshold)


def for_rule(card: Card, rule: AskedRule, source: Path) -> Card:
    """Return the card of a counts network for one rule: its labels, calibration and thresholds.

    A network that was trained on one rule keeps that rule, whichever is asked for.

    Raises:
        InputError: the network, of the file `source`, does not know the rule.
    """
    f_th = card.f_th if rule[0] is None else rule[0]
    n_pix = card.n_pix if rule[1] is None else rule[1]
    if card.readings is None:
        return card
    points = card.readings.at(f_th, n_pix, source)
    f_th = card.readings.thresholds[card.readings.column(f_th, n_pix, source)]
    return replace(card, f_th=f_th, n_pix=n_pix, **vars(points))


def as_dict(card: Card) -> dict[str, Any]:
    """Return the card as plain values, with the version that wrote it."""
    return {"format": FORMAT, "cosmodeep_hpc": __version__, **asdict(card)}


def from_dict(content: Any, source: Path) -> Card:
    """Return the card that plain values describe; errors name `source`.

    Raises:
        InputError: not a card, or one of another format.
    """
    if not isinstance(content, dict):
        raise InputError(f"{source}: damaged model card ({type(content).__name__}); {AGAIN}")
    version = content.pop("format", None)
    content.pop("cosmodeep_hpc", None)
    if version not in READ:
        raise InputError(f"{source}: model format {version}; expected {FORMAT}")
    try:
        content["preprocessing"] = Preprocessing.from_dict(content["preprocessing"])
        content["calibration"] = Calibration(**content.get("calibration", {}))
        if content.get("readings") is not None:
            content["readings"] = RuleCalibrations.from_dict(content["readings"])
        if content.get("pixels") is not None:
            content["pixels"] = PixelMap.from_dict(content["pixels"])
            known = content["readings"].thresholds if content.get("readings") else ()
            if content["pixels"].thresholds != known:
                raise ValueError("its map has other thresholds than its rules")
        if content.get("beams") is not None:
            smallest, largest = map(float, content["beams"])
            content["beams"] = smallest, largest
        return Card(**{**content, "trained_on": tuple(content["trained_on"])})
    except (KeyError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())  # names of a file's own may hold line breaks
        raise InputError(f"{source}: damaged model card ({why}); {AGAIN}") from error
