"""Warnings kept from a user where astropy mends what it reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from astropy.utils.exceptions import AstropyWarning

from cosmodeep_hpc.parallel.warningfilters import ONE_AT_A_TIME


@contextmanager
def quiet(category: type[Warning] = AstropyWarning) -> Iterator[None]:
    """Leave out warnings of a category: astropy's are of every card it mends, and of dates.

    The caller's filters are as they were at the end; threads wait for each other.
    """
    with ONE_AT_A_TIME, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", category)
        yield
