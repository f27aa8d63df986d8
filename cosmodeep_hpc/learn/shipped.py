"""The models that ship with the package: their purpose and their cards."""

from __future__ import annotations

from pathlib import Path

from cosmodeep_hpc.io.files import sha256
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.pixelmap import SHARE as MAP_SHARE
from cosmodeep_hpc.learn.rules import SHARE, RuleCalibrations


def names() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.stem for path in modelfile.MODELS.glob(f"*{modelfile.ENDING}"))


def table() -> str:
    """Return one line a model: labels, operating points, training images and first sentence."""
    head = (
        f"{'model':14} {'N_pix':>5} {'F_th':>8} {'threshold':>9} {'scaling':8} {'pixel':>8} "
        f"{'images':>6}  for"
    )
    lines = [head]
    for name in names():
        card = modelfile.read_card(modelfile.find(name))
        lines.append(
            f"{name:14} {card.n_pix:5d} {card.f_th:8.2g} {card.threshold:9.3f} "
            f"{card.preprocessing.scaling:8} {card.pixel_scale:5.1f} as {len(card.trained_on):6d}  "
            f"{_text(name).splitlines()[0].lstrip('# ').rstrip('.')}"
        )
    return "\n".join([*lines, "F_th in Jy/arcsec^2; cosmodeep models NAME prints a model's card"])


def describe(name: str) -> str:
    """Return a model's description: its text, if it ships with the package, and its card.

    Args:
        name: of a shipped model, or a run folder or `.keras` file.

    Raises:
        InputError: there is no such model.
    """
    path = modelfile.find(name)
    card = _card_text(modelfile.read_card(path), path)
    return f"{_text(path.stem).rstrip()}\n\n{card}" if path == modelfile.shipped(name) else card


def _text(name: str) -> str:
    return (modelfile.MODELS / f"{name}.md").read_text(encoding="utf-8")


def _rules(readings: RuleCalibrations) -> str:
    """Say in words which rules a counts network knows."""
    thresholds = ", ".join(f"{f_th:g}" for f_th in readings.thresholds)
    return f"N_pix {readings.levels[0]} to {readings.levels[-1]} at F_th of {thresholds}"


def _card_text(card: Card, path: Path) -> str:
    """Return a model's card, one line an entry."""
    made = card.preprocessing
    points = {
        "largest As": card.threshold,
        f"Ws of {SHARE}": card.completeness,
        f"purity of {SHARE}": card.purity,
    }
    rows = {
        "file": path.name,
        "SHA-256": sha256(path),
        "label": f"more than {card.n_pix} Sky pixels above {card.f_th:g} Jy/arcsec^2",
        **({} if card.readings is None else {"reads": _rules(card.readings)}),
        "tile": f"{made.tile_size} x {made.tile_size} pixels of {card.pixel_scale:g} arcsec, "
        f"{made.margin} around it seen too",
        "scaling": made.scaling,
        "beam": "not known"
        if card.beams is None
        else f"{card.beams[0]:.2g} to {card.beams[1]:.2g} of these pixels",
        "noise": f"{card.noise_rms:.3g} Jy/arcsec^2",
        "seed": str(card.seed),
        "images": f"{len(card.trained_on)} seen in training or validation",
        **{
            f"threshold, {name}": "not known" if p is None else f"{p:.4f}"
            for name, p in points.items()
        },
    }
    rows |= _map_rows(card)
    return "\n".join(f"{name:28} {value}" for name, value in rows.items())


def _map_rows(card: Card) -> dict[str, str]:
    """Return the entries of a card on its map of pixels."""
    if card.pixels is None:
        return {}

    def said(threshold: float | None) -> str:
        return "not known" if threshold is None else f"{threshold:.4f}"

    rows = {}
    for f_th, points in zip(card.pixels.thresholds, card.pixels.points, strict=True):
        rows[f"map, F_th {f_th:g}"] = (
            f"threshold {said(points.threshold)}; completeness of {MAP_SHARE} from "
            f"{said(points.completeness)}, purity from {said(points.purity)}"
        )
        rows[f"given, bright {f_th:g}"] = "; ".join(
            f"{given:.2f} {bright:.2f}" for given, bright, _ in points.reliability
        )
    return rows
