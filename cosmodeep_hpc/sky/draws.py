"""Random numbers that depend on their purpose alone, not on who draws them or when."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """The purpose of a draw: each one has streams of its own. Never renumber."""

    DENSITY = 1
    ORIENTATION = 2
    SAMPLES = 3
    NOISE = 4
    FIELD_CENTRE = 5
    POINT_SOURCES = 6
    RADIO_GALAXIES = 7
    STRIPES = 8
    FIRST_BOX = 20


TEST_IMAGES = 1 << 32
"""Added to an image's number for a test sky, which shares no random number with any other."""


CALIBRATION_IMAGES = 2 << 32
"""Added to the number of a field that the parameters are fitted on."""


def draws(seed: int, purpose: Purpose, index: int = 0, slab: int = 0) -> np.random.Generator:
    """Return the random stream of (seed, purpose, index, slab), addressed by Philox' counter."""
    return np.random.Generator(
        np.random.Philox(key=[seed, int(purpose)], counter=[0, 0, index, slab])
    )
