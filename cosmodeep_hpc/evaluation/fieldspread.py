"""Means and shares over fields, with their standard errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_and_error(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and standard error of those values, one a field, that are defined."""
    known = np.array([value for value in values if np.isfinite(value)], dtype=np.float64)
    if len(known) == 0:
        return {"mean": None, "standard_error": None}
    error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None
    return {"mean": float(known.mean()), "standard_error": error}


def share_and_error(parts: Sequence[int], wholes: Sequence[int]) -> dict[str, float | None]:
    """Return a share over all fields, and its standard error from how the fields differ.

    What lies in one field is not independent of each other: the error is that of a ratio of sums
    over fields, not that of a count.

    Args:
        parts, wholes: of each field.

    Source: Cochran, Sampling Techniques (1977), equation 6.9, without the correction for finite
        populations.
    """
    part, whole = np.array(parts, dtype=np.float64), np.array(wholes, dtype=np.float64)
    total = whole.sum()
    if total == 0:
        return {"share": None, "standard_error": None}
    share = float(part.sum() / total)
    fields = int(np.count_nonzero(whole))
    if fields < 2:
        return {"share": share, "standard_error": None}
    scatter = float(((part - share * whole) ** 2).sum()) * fields / (fields - 1)
    return {"share": share, "standard_error": float(np.sqrt(scatter) / total)}
