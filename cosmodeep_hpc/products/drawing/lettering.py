"""Words as pixels."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cosmodeep_hpc.survey.result import printable

FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings; matplotlib itself, which takes a second, stays away."""
    found = find_spec("matplotlib")
    assert found is not None and found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / FONT
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=512)
def lettered(text: str, size: int) -> NDArray[np.uint8]:
    """A line of text: uint8 (height, width), 255 where a pixel is all ink; not to be written to.

    Lines of a size are of one height and share their baseline. What cannot be printed is `?`.

    Args:
        size: of the letters [pixel].
    """
    text = printable(text)
    font = _font(size)
    height = sum(font.getmetrics())
    mask = Image.new("L", (max(1, int(np.ceil(font.getlength(text))) + 1), height))
    ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=font)
    return np.asarray(mask)


def shortened(text: str, size: int, width: int) -> str:
    """The text, or its two ends where it is wider than `width` [pixel]."""
    kept = len(text)
    line = text
    while kept > 4 and _font(size).getlength(line) > width:
        kept = min(kept - 1, int(kept * width / _font(size).getlength(line)) + 1)
        half = kept // 2
        line = f"{text[: kept - half]}…{text[len(text) - half :]}"
    return line
