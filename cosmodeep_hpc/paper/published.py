"""The paper's own measurements: its table 2, to compare ours with."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "Gheller, Vazza & Bonafede (2018), table 2"
RATIOS = ("As", "Ws", "Wv")
"""The accuracies of the table: see `learn.metrics.Accuracy`."""


@dataclass(frozen=True)
class Published:
    """A value and its error; None if unknown."""

    value: float
    error: float | None


PublishedRule = tuple[int, float]
"""The rule of tiles' labels: N_pix, and F_th [Jy/arcsec^2]."""


def _row(*numbers: float) -> dict[str, Published]:
    """Return a row of the table: value and error of each of RATIOS."""
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return {name: Published(*pair) for name, pair in zip(RATIOS, pairs, strict=True)}


TABLE_2: dict[PublishedRule, dict[str, Published]] = {
    (40, 1e-7): _row(0.9088, 0.0090, 0.9827, 0.0003, 0.9974, 0.0003),
    (40, 7.5e-8): _row(0.9232, 0.0046, 0.9947, 0.0002, 0.9972, 0.0002),
    (40, 5e-8): _row(0.9159, 0.0070, 0.9958, 0.0005, 0.9960, 0.0004),
    (40, 1e-8): _row(0.8934, 0.0072, 0.9521, 0.0005, 0.9933, 0.0005),
    (9, 1e-7): _row(0.8800, 0.0062, 0.9710, 0.0062, 0.9957, 0.0003),
    (9, 7.5e-8): _row(0.9175, 0.0051, 0.9754, 0.0037, 0.9969, 0.0001),
    (9, 5e-8): _row(0.9022, 0.0046, 0.9797, 0.0044, 0.9948, 0.0001),
    (9, 1e-8): _row(0.8181, 0.0035, 0.8848, 0.0023, 0.9890, 0.0011),
}
"""The accuracies by (N_pix, F_th), in the order of the table."""
