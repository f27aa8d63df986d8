"""Accuracies over all images: totals, curves, completeness by flux and at equal purity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.comparison.limits import Expected, Trade, expected
from cosmodeep_hpc.comparison.scoredtiles import (
    FAMILIES,
    ISLANDS,
    MODEL,
    IslandCount,
    LabelRule,
    ScoredTiles,
    Scoring,
)
from cosmodeep_hpc.learn.metrics import Accuracy, Curve, accuracy, curve, is_found
from cosmodeep_hpc.sky.summary import Spread

CURVE_POINTS = 200  # at most, of a curve in the JSON
BINS_A_DECADE = 2  # of flux
FAINT = 2.0
"""Tiles whose Sky, seen through the beam, is nowhere brighter than this are faint [sigma]."""
ARCSEC2_A_DEG2 = 3600.0**2


@dataclass(frozen=True)
class Choice:
    """How a detector is used for labels of one rule: chosen for the largest As.

    Attributes:
        threshold: a tile is found if its score is at least the threshold.
    """

    way: Scoring
    threshold: float


@dataclass(frozen=True)
class PooledTiles:
    """The tiles of all images that a detector has scored, one after the other."""

    signal: NDArray[np.bool_]
    score: NDArray[np.float32]
    flux: NDArray[np.float64]
    peak: NDArray[np.float32]

    @classmethod
    def of(cls, images: Sequence[ScoredTiles], rule: LabelRule, way: Scoring) -> PooledTiles:
        """Pool the tiles of the images that this way has scored."""
        scored = [image for image in images if way in image.scores]
        return cls(
            _joined([image.is_signal(rule) for image in scored], np.bool_),
            _joined([image.scores[way] for image in scored], np.float32),
            _joined([image.flux for image in scored], np.float64),
            _joined([image.peak for image in scored], np.float32),
        )

    def curve(self) -> Curve:
        """Return the accuracy at every threshold."""
        return curve(self.signal, self.score)

    def found(self, threshold: float) -> NDArray[np.bool_]:
        """Return which tiles are found."""
        return is_found(self.score, threshold)


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def ways(images: Sequence[ScoredTiles], rule: LabelRule) -> dict[str, list[Scoring]]:
    """Return the ways that serve a rule, by detector, in the order of FAMILIES."""
    there = dict.fromkeys(way for image in images for way in image.scores)
    serving = [way for way in there if way.serves(rule)]
    by_family = {name: [w for w in serving if w.family == name] for name in FAMILIES}
    return {name: found for name, found in by_family.items() if found}


def choose(images: Sequence[ScoredTiles], rule: LabelRule, candidates: Sequence[Scoring]) -> Choice:
    """Return the way and threshold of largest As on these images; the first of equal ones."""
    best, choice = -1.0, Choice(candidates[0], 0.5)
    for way in candidates:
        whole = PooledTiles.of(images, rule, way).curve()
        threshold = whole.best_threshold()
        reached = whole.at(threshold).As
        if reached > best:
            if way.family in ISLANDS:  # one of the thresholds of the finder's runs
                threshold = float(whole.threshold[whole.threshold >= threshold][-1])
            best, choice = reached, Choice(way, threshold)
    return choice


def choices(
    chosen_on: Sequence[ScoredTiles],
    images: Sequence[ScoredTiles],
    rule: LabelRule,
    model: Mapping[LabelRule, float],
) -> dict[str, Choice]:
    """Return how each detector is used for a rule.

    The model has thresholds of its own. A finder that failed on all images to choose by is chosen
    on the images themselves.

    Args:
        model: its threshold for each of the rules that it serves.
    """
    chosen: dict[str, Choice] = {}
    for family, candidates in ways(images, rule).items():
        if family == MODEL:
            chosen[family] = Choice(candidates[0], model[rule])
            continue
        known = any(way in image.scores for image in chosen_on for way in candidates)
        chosen[family] = choose(chosen_on if known else images, rule, candidates)
    return chosen


def detector_rows(
    images: Sequence[ScoredTiles], rule: LabelRule, chosen: dict[str, Choice]
) -> dict[str, dict[str, Any]]:
    """Return As, Ws, Wv and counts of each detector, in total and an image.

    They include the standard error of As over the images, and by how much the network's As is
    larger, image by image.
    """
    rows: dict[str, dict[str, Any]] = {}
    of_network: dict[str, Accuracy] = {}
    for family, choice in chosen.items():
        each = {
            image.name: accuracy(
                image.is_signal(rule), is_found(image.scores[choice.way], choice.threshold)
            )
            for image in images
            if choice.way in image.scores
        }
        total = sum(each.values(), Accuracy(Nsc=0, Nsw=0, Nvc=0, Nvw=0))
        rows[family] = {
            "way": choice.way.setting,
            "threshold": choice.threshold,
            "images": len(each),
            **total.as_dict(),
            "As_error": _mean([one.As for one in each.values()])["standard_error"],
            "an_image": {name: one.as_dict() for name, one in each.items()},
        }
        if family == MODEL:
            of_network = each
        elif of_network:
            lead = [of_network[name].As - one.As for name, one in each.items()]
            rows[family]["network_less_it"] = _mean(lead)
    return rows


def _mean(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and standard error of the values that are defined."""
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return {"mean": None, "standard_error": None}
    spread = Spread.of(known)
    return {"mean": spread.mean, "standard_error": spread.standard_error}


def limit_rows(images: Sequence[ScoredTiles], rule: LabelRule) -> dict[str, dict[str, Any]]:
    """Return the ideal limits: by maximum likelihood, and with the best shifts."""
    level = np.concatenate([image.level(rule.n_pix) for image in images])
    rows: dict[str, dict[str, Any]] = {}
    for name in images[0].snr:
        snr = np.concatenate([image.snr[name] for image in images])
        trade = Trade.of(level, snr, rule.f_th)
        shift, common = trade.best_common()
        shifts, classes = trade.best_classes()
        line = trade.curve()
        rows[name] = {
            "maximum_likelihood": _ratios(expected(level, snr, rule.f_th)),
            "one_shift": {"shift": _finite(shift), **_ratios(common)},
            "known_population": {"shifts": [_finite(s) for s in shifts], **_ratios(classes)},
            "curve": {
                "purity": [_number(one.purity) for one in line],
                "completeness": [_number(one.Ws) for one in line],
            },
        }
    return rows


def _finite(value: float) -> float | None:
    """Return the value, or None if all tiles or no tiles are called signal."""
    return float(value) if np.isfinite(value) else None


def _ratios(one: Expected) -> dict[str, float | None]:
    return {name: _number(getattr(one, name)) for name in ("As", "Ws", "Wv", "purity")}


def _number(value: float) -> float | None:
    """Return the value, or None (JSON's null) if a ratio is not defined."""
    return None if np.isnan(value) else float(value)


def curves(
    images: Sequence[ScoredTiles], rule: LabelRule, chosen: dict[str, Choice]
) -> dict[str, dict[str, list[float]]]:
    """Return purity and completeness of each detector over its thresholds.

    At most CURVE_POINTS thresholds are kept: those that find one more share of the signal, and the
    lowest.
    """
    drawn: dict[str, dict[str, list[float]]] = {}
    for family, choice in chosen.items():
        whole = PooledTiles.of(images, rule, choice.way).curve()
        count = len(whole.threshold)
        steps = np.linspace(0, whole.Ns, CURVE_POINTS - 1)
        points = np.unique([*np.searchsorted(whole.Nsc, steps), count - 1])
        points = points[(points >= 0) & (points < count)]
        drawn[family] = {
            "threshold": whole.threshold[points].tolist(),
            "purity": whole.precision[points].tolist(),
            "completeness": whole.recall[points].tolist(),
        }
    return drawn


def flux_edges(flux: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of bins, even in the logarithm, that hold all of these positive fluxes."""
    flux = flux[flux > 0]
    if len(flux) == 0:
        return np.array([1e-6, 1.0])
    # a flux on an edge belongs to the bin above it
    low = np.floor(BINS_A_DECADE * np.log10(flux.min()) + 1e-9)
    high = np.floor(BINS_A_DECADE * np.log10(flux.max()) + 1e-9) + 1
    return np.asarray(10 ** (np.arange(low, high + 1) / BINS_A_DECADE))


def by_flux(
    images: Sequence[ScoredTiles], rule: LabelRule, chosen: dict[str, Choice]
) -> dict[str, list[Any] | dict[str, list[Any]]]:
    """Return the completeness by the Sky's flux in a signal tile, at the chosen thresholds."""
    flux = np.concatenate([image.flux[image.is_signal(rule)] for image in images])
    edges = flux_edges(flux)
    found: dict[str, list[Any]] = {}
    for family, choice in chosen.items():
        tiles = PooledTiles.of(images, rule, choice.way)
        here = tiles.signal & tiles.found(choice.threshold)
        whole = np.histogram(tiles.flux[tiles.signal], edges)[0]
        part = np.histogram(tiles.flux[here], edges)[0]
        found[family] = [_number(p / w if w else np.nan) for p, w in zip(part, whole, strict=True)]
    return {
        "edges_jy": edges.tolist(),
        "signal_tiles": np.histogram(flux, edges)[0].tolist(),
        "completeness": found,
    }


def threshold_at(whole: Curve, purity: float) -> float | None:
    """Return the threshold of largest completeness with at least this purity, or None."""
    pure = np.flatnonzero(whole.precision >= purity)
    return float(whole.threshold[pure[-1]]) if len(pure) else None


def at_equal_purity(
    images: Sequence[ScoredTiles], rule: LabelRule, chosen: dict[str, Choice]
) -> list[dict[str, Any]]:
    """Return the completeness of all detectors at PyBDSF's purity, for each of its thresholds.

    It is given for all signal tiles, and for the faint ones: tiles whose Sky, seen through the
    beam, is nowhere above FAINT sigma, so that a threshold of 2 sigma finds them only by the noise.
    """
    if "pybdsf" not in chosen:
        return []
    reference = PooledTiles.of(images, rule, chosen["pybdsf"].way).curve()
    tiles = {name: PooledTiles.of(images, rule, choice.way) for name, choice in chosen.items()}
    wholes = {name: one.curve() for name, one in tiles.items()}
    rows = []
    for threshold, purity in zip(reference.threshold, reference.precision, strict=True):
        row: dict[str, Any] = {"threshold": float(threshold), "purity": float(purity)}
        for name, one in tiles.items():
            own = float(threshold) if name == "pybdsf" else threshold_at(wholes[name], purity)
            found = np.zeros(len(one.signal), np.bool_) if own is None else one.found(own)
            faint = one.signal & (one.peak < FAINT)
            row[name] = {
                "completeness": _share(found, one.signal),
                "of_faint": _share(found, faint),
            }
        rows.append(row)
    return rows


def _share(found: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    count = int(among.sum())
    return _number(int((found & among).sum()) / count if count else np.nan)


def faint_tiles(images: Sequence[ScoredTiles], rule: LabelRule) -> int:
    """Return the number of faint signal tiles."""
    return sum(int((image.is_signal(rule) & (image.peak < FAINT)).sum()) for image in images)


def island_rows(images: Sequence[ScoredTiles], rule: LabelRule) -> dict[str, list[dict[str, Any]]]:
    """Return, for each finder and threshold, islands, false area, and tiles found in two ways.

    A tile is found by `any` pixel of an island in it, or by `more` than N_pix of them.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for family in ISLANDS:
        counts = [image.counts[family] for image in images if family in image.counts]
        areas = [image.pixel_area / ARCSEC2_A_DEG2 for image in images if family in image.counts]
        sky = sum(image.pixels for image in images if family in image.counts)
        for threshold in sorted(counts[0]) if counts else ():
            each = [one[threshold] for one in counts]
            total = sum(each, IslandCount(0, 0, 0, 0))
            false = [one.false_area * area for one, area in zip(each, areas, strict=True)]
            row: dict[str, Any] = {
                "threshold": threshold,
                "islands": total.islands,
                "false_islands": total.false_islands,
                "false_area_deg2": float(sum(false)),
                "false_share_of_sky": total.false_area / sky,
            }
            for way in ways(images, rule)[family]:
                one = PooledTiles.of(images, rule, way)
                found = one.found(float(np.float32(threshold)))
                hits = int((found & one.signal).sum())
                row["any" if way.n_pix is None else "more"] = {
                    "tiles": int(found.sum()),
                    "purity": _number(hits / int(found.sum()) if found.any() else np.nan),
                    "completeness": _share(found, one.signal),
                }
            rows.setdefault(family, []).append(row)
    return rows
