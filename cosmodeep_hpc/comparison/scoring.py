"""Scores one image: finds the truth of its tiles and cells, and runs every detector on them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.comparison import detectors, finders, islandtiles, limits, maskscoring
from cosmodeep_hpc.comparison.finders import FinderError, FinderTask, Found, beam_of
from cosmodeep_hpc.comparison.maskscoring import FinderMask
from cosmodeep_hpc.comparison.scoredmasks import MaskWay, ScoredMasks
from cosmodeep_hpc.comparison.scoredtiles import (
    FAMILIES,
    MODEL,
    IslandCount,
    LabelRule,
    ScoredTiles,
    Scoring,
)
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth, noise_of
from cosmodeep_hpc.evaluation.mappedfield import MappedField
from cosmodeep_hpc.evaluation.mapscore import MapScore
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.classifier import outputs, read
from cosmodeep_hpc.learn.modelfile import TrainedModel, map_threshold
from cosmodeep_hpc.sky.occupancy import PAPER, tile_levels
from cosmodeep_hpc.tiles.pairs import Pair
from cosmodeep_hpc.tiles.tiling import coverage, cut

MICRO = 1e-6
FAINTEST = min(f_th for _, f_th in PAPER)
"""An island is false if no Sky pixel in it is brighter than this [Jy/arcsec^2]."""
OWN = "continunet"
"""The finder that finds a threshold of its own."""
BESIDE, INSIDE = "tile and around", "tile alone"
"""The two ideal limits, by what the observer sees."""


@dataclass(frozen=True)
class ScoringRequest:
    """The task for each image.

    Attributes:
        config: the options.
        model: classifies; its card has tile size, preprocessing and label.
        rules: labels that tiles are judged by; the first is the model's own.
        cards: the model's card for each of the rules that it serves.
        finders: source finders that are installed.
    """

    config: Config
    model: TrainedModel
    rules: tuple[LabelRule, ...]
    finders: tuple[str, ...]
    cards: Mapping[LabelRule, Card]

    @property
    def n_pix(self) -> tuple[int, ...]:
        """Pixel thresholds of the rules."""
        return tuple(sorted({rule.n_pix for rule in self.rules}))


def sigma_of(image: Image, pixels: NDArray[np.float32], rms: float) -> float:
    """Return the constant noise of an image [Jy/arcsec^2].

    Args:
        pixels: of the image.
        rms: given [uJy/beam]; 0: the header's NOISERMS, or else a measurement.

    Raises:
        InputError: it has none.
    """
    if rms > 0:
        return float(beam_of(image).per_arcsec2(rms * MICRO))
    return noise_of(image, pixels)


@dataclass(frozen=True)
class ScoredImage:
    """What is known of an image: its tiles, the masks of its cells, and PyBDSF's islands."""

    tiles: ScoredTiles
    masks: ScoredMasks
    islands: Found | None


def score_image(request: ScoringRequest, pair: Pair) -> ScoredImage:
    """Score the tiles of a pair that have data in every pixel, and its cells, by every detector.

    Raises:
        InputError: a bad pair.
    """
    settings, size = request.config.compare, request.model.card.preprocessing.tile_size
    sky_image, image = pair.open()
    pixels, sky = image.pixels(), sky_image.pixels()
    sigma = sigma_of(image, pixels, settings.rms)
    whole = (coverage(cut(pixels, size)) == 1) & (coverage(cut(sky, size)) == 1)
    row, col = (place.astype(np.int32) for place in np.nonzero(whole))
    # detectors score the whole tiles of the image, row by row
    place = row * (image.shape[1] // size) + col
    seconds: dict[str, float] = {}
    scores: dict[Scoring, NDArray[np.float32]] = {}

    fields: dict[LabelRule, MappedField] = {}
    if request.model.blocks is None:
        with _timed(seconds, MODEL):
            scores |= _probabilities(request, image, pixels, whole)
    else:
        for rule in request.cards:
            with _timed(seconds, MODEL):  # of one rule, as a user would run it
                fields[rule] = _mapped(request, rule, pair)
            scores[Scoring.of_model(rule)] = fields[rule].tiles[whole]

    beam, scale, n_pix = image.beam, image.pixel_scale, request.n_pix
    filled = np.nan_to_num(pixels)
    with _timed(seconds, "smoothed"):
        plain = detectors.plain(filled, size, settings.kernels, n_pix)
    significance = filled / np.float32(sigma)
    with _timed(seconds, "matched"):
        matched = detectors.matched(significance, size, settings.scales, n_pix, beam, scale)
    islands = _FinderIslands(request, image, pixels, significance, np.nan_to_num(sky), sigma)
    islands.run(seconds)
    for way, score in {**plain, **matched, **islands.scores}.items():
        scores[way] = score[place]

    sky = np.nan_to_num(sky)
    template = (sky if beam is None else beam.convolve(sky, scale)) / np.float32(sigma)
    snr = {
        name: limits.tile_snr(template, row, col, size, margin, beam, scale)
        for name, margin in ((INSIDE, 0), (BESIDE, settings.margin))
    }
    area = scale**2
    scored = ScoredTiles(
        name=pair.name,
        pixels=int(np.isfinite(pixels).sum()),
        pixel_area=area,
        row=row,
        col=col,
        n_pix=n_pix,
        levels=tile_levels(sky, size, n_pix)[:, place],
        flux=_tile_sums(sky, size)[place] * area,
        peak=tile_levels(template, size, [0])[0, place],
        snr=snr,
        scores=scores,
        counts=islands.counts,
        failures=islands.failures,
        seconds=seconds,
        versions=islands.versions,
    )
    masks = ScoredMasks(pair.name, _masks(request, pair, sigma, fields, islands))
    return ScoredImage(scored, masks, islands.found.get("pybdsf"))


def _mapped(request: ScoringRequest, rule: LabelRule, pair: Pair) -> MappedField:
    """Return what the model gives for the image by one of the rules that it serves."""
    model = replace(request.model, card=request.cards[rule])
    return MappedField.of(request.config, model, pair)


def _masks(
    request: ScoringRequest,
    pair: Pair,
    sigma: float,
    fields: Mapping[LabelRule, MappedField],
    islands: _FinderIslands,
) -> dict[MaskWay, MapScore]:
    """Score all masks of the cells, by the F_th of the model's own rule."""
    settings, rule = request.config.compare, request.rules[0]
    field = fields.get(rule)
    side = maskscoring.SIDE if field is None else field.side
    truth = FieldTruth.of(*pair.open(), rule.f_th, side, sigma)
    scores: dict[MaskWay, MapScore] = {}
    if field is not None:
        threshold = map_threshold(request.model, request.config.classify.point)
        scores |= maskscoring.of_network(truth, field, threshold)
    scores |= maskscoring.of_smoothed(
        truth,
        side,
        rule.f_th,
        kernels=settings.kernels,
        levels=settings.levels,
        min_beams=request.config.classify.min_beams,
    )
    return scores | maskscoring.of_finders(truth, side, islands.masks())


def _probabilities(
    request: ScoringRequest, image: Image, pixels: NDArray[np.float32], whole: NDArray[np.bool_]
) -> dict[Scoring, NDArray[np.float32]]:
    """Return the network's probabilities for the tiles `whole` (rows, cols), by rule (n,)."""
    preprocessing = request.model.card.preprocessing
    level = preprocessing.measure(image, pixels)
    tiles = cut(pixels, preprocessing.tile_size, preprocessing.margin)[whole]
    prepared = preprocessing.apply(tiles, level)
    given = outputs(request.model, prepared, request.config.classify.batch)
    path = request.model.path
    return {Scoring.of_model(rule): read(given, card, path) for rule, card in request.cards.items()}


def _tile_sums(sky: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Return the sum of the pixels of each whole tile, row by row."""
    rows, cols = sky.shape[0] // size, sky.shape[1] // size
    blocks = sky[: rows * size, : cols * size].reshape(rows, size, cols, size)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float64).ravel())


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


class _FinderIslands:
    """The source finders' part of an image's scores."""

    def __init__(
        self,
        request: ScoringRequest,
        image: Image,
        pixels: NDArray[np.float32],
        significance: NDArray[np.float32],
        sky: NDArray[np.float32],
        sigma: float,
    ) -> None:
        self.found: dict[str, Found] = {}
        self.scores: dict[Scoring, NDArray[np.float32]] = {}
        self.counts: dict[str, dict[float, IslandCount]] = {}
        self.failures: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self._request, self._image, self._significance = request, image, significance
        self._truth = sky > np.float32(FAINTEST)
        beam = beam_of(image)
        self._per_beam = np.asarray(beam.per_beam(pixels), dtype=np.float32)
        self._rms = float(beam.per_beam(sigma))

    def run(self, seconds: dict[str, float]) -> None:
        """Run each finder; a finder that fails on the image has no score for it."""
        settings = self._request.config.compare
        thresholds = {
            "pybdsf": settings.islands,
            "wavelets": settings.wavelets,
            "aegean": settings.seeds,
            OWN: (0.0,),
        }
        for name in self._request.finders:
            task = FinderTask(
                thresholds=thresholds[name],
                rms=self._rms,
                min_pixels=settings.min_pixels,
                flood=settings.flood,
                peak=settings.peak,
                seconds=settings.seconds,
            )
            try:
                found = finders.find(name, self._image, self._per_beam, task)
            except FinderError as error:
                self.failures[name] = str(error)
                continue
            self.found[name], self.versions[name] = found, found.version
            # the time of one threshold, as a user would run it
            seconds[name] = float(np.mean(found.seconds))
            if name in FAMILIES:
                self._score(name, found, 0.0)
            if name == "pybdsf":
                self._score("pybdsf peak", found, settings.peak)

    def masks(self) -> Iterator[FinderMask]:
        """Yield the islands of each detector at each threshold."""
        peak = self._request.config.compare.peak
        for name, found in self.found.items():
            for threshold in found.thresholds:
                mask = found.mask(threshold)
                yield name, None if name == OWN else threshold, mask
                if name == "pybdsf":
                    yield "pybdsf peak", threshold, self._with_peak(mask, threshold, peak)

    def _with_peak(
        self, islands: NDArray[np.bool_], threshold: float, peak: float
    ) -> NDArray[np.bool_]:
        """Return the islands of a threshold whose peak exceeds another."""
        if peak <= threshold:
            return islands
        return islandtiles.with_peak(islands, self._significance, peak)

    def _score(self, family: str, found: Found, peak: float) -> None:
        size, n_pix = self._request.model.card.preprocessing.tile_size, self._request.n_pix
        counts: dict[float, IslandCount] = {}

        def mask(threshold: float) -> NDArray[np.bool_]:
            islands = self._with_peak(found.mask(threshold), threshold, peak)
            counts[threshold] = islandtiles.counted(islands, self._truth)
            return islands

        self.scores |= islandtiles.tile_scores(family, found.thresholds, mask, size, n_pix)
        self.counts[family] = counts
