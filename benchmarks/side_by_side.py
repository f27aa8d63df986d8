"""Pictures side by side, or one alone, as a small JPEG: those of the docs (docs/reproduce.md).

    python -m benchmarks.side_by_side docs/robust-a2744.jpg one/A2744.png other/A2744.png

All get the height of the first, and the whole a width of `--width` pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image


def joined(pictures: list[Path], width: int) -> Image.Image:
    """Join pictures from left to right, `width` pixels wide in all."""
    opened = [Image.open(path).convert("RGB") for path in pictures]
    height = opened[0].height
    same = [one.resize((round(one.width * height / one.height), height)) for one in opened]
    sheet = Image.new("RGB", (sum(one.width for one in same), height))
    left = 0
    for one in same:
        sheet.paste(one, (left, 0))
        left += one.width
    return sheet.resize((width, round(height * width / left)), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the joined picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="JPEG")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PNG")
    parser.add_argument("--width", type=int, default=1500, help="of the whole, in pixels")
    parser.add_argument("--quality", type=int, default=70, help="of the JPEG")
    words = parser.parse_args()
    joined(words.pictures, words.width).save(words.out, quality=words.quality, optimize=True)


if __name__ == "__main__":
    main()
