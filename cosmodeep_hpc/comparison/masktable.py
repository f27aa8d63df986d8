"""The comparison by pixels and objects as text."""

from __future__ import annotations

from typing import Any

from cosmodeep_hpc.comparison.scoredmasks import MAPS
from cosmodeep_hpc.evaluation.maptable import BINS, error, range_of, ratio

WIDTH = 18
"""Of a number with its error."""
TITLES = (
    *("IoU", "av. precision", "pixels compl.", "pixels purity"),
    *("objects compl.", "objects purity", "network less it"),
)
RATIOS = ("iou", "average_precision", "completeness", "purity")


def text(maps: dict[str, Any], chosen_on: str) -> str:
    """Return the part `maps` of `compare.json` as tables to read."""
    lines = [
        f"by pixels and objects: Sky brighter than {maps['f_th']:g} Jy/arcsec^2; means of the "
        f"images, objects of all images; settings of all but the network chosen on {chosen_on} "
        "for the largest IoU",
        f"{'detector':20}" + "".join(f"{name:>{WIDTH}}" for name in TITLES) + "  images  as used",
    ]
    for name, row in maps["detectors"].items():
        means, objects = row["pixels"]["mean"], row["objects"]
        cells = [_number(means[each], "mean") if each in means else "-" for each in RATIOS]
        cells += [_number(objects[each], "share") for each in ("completeness", "purity")]
        cells.append(_number(row["network_less_it"], "mean") if "network_less_it" in row else "")
        lines.append(
            f"{name:20}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)
            + f"{row['images']:8d}  {row['way']}"
        )  # fmt: skip
    lines += [
        f"{name:20}{reason.removeprefix(f'{name}: ')}" for name, reason in maps["left_out"].items()
    ]
    for name in BINS:
        lines += ["", *_bins(maps["detectors"], name)]
    return "\n".join(lines)


def _bins(detectors: dict[str, Any], name: str) -> list[str]:
    """Return the completeness of objects in bins that hold some, detector by detector."""
    title, unit = BINS[name]
    shown = [family for family in MAPS if family in detectors]
    tables = [detectors[family]["objects"]["bins"][name] for family in shown]
    lines = [
        f"completeness of objects by {title}",
        f"{'':22}{'objects':>8}" + "".join(f"{family:>{WIDTH}}" for family in shown),
    ]
    edges = [edge * unit for edge in tables[0]["edges"]]
    for number in range(len(edges)):
        each = [table["completeness"][number] for table in tables]
        count = max(one["count"] for one in each)  # a finder may have failed on some images
        if count:
            cells = "".join(f"{_number(one, 'share'):>{WIDTH}}" for one in each)
            lines.append(f"{range_of(edges, number):22}{count:8d}{cells}")
    return lines


def _number(value: dict[str, Any], name: str) -> str:
    return f"{ratio(value[name])}{error(value)}"
