"""The accuracy by pixels and objects as text."""

from __future__ import annotations

from typing import Any

PIXELS = {
    "iou": "IoU",
    "completeness": "completeness",
    "purity": "purity",
    "average_precision": "average precision",
}
BINS = {
    "brightness": ("surface brightness [noise]", 1.0),
    "size": ("area [beam]", 1.0),
    "flux": ("flux density [mJy]", 1e3),
}
"""What objects are binned by: a title, and its unit in that of `EDGES`."""


def text(result: dict[str, Any]) -> str:
    """Return the parts `pixels` and `objects` of `metrics.json` as tables to read."""
    pixels, objects = result["pixels"], result["objects"]
    if pixels is None:
        return "by pixels and objects: nothing, this model knows tiles alone"
    means = ", ".join(
        f"{title} {ratio(pixels['mean'][name]['mean'])}{error(pixels['mean'][name])}"
        for name, title in PIXELS.items()
    )
    lines = [
        f"by pixels: Sky cells brighter than {result['f_th']:g} Jy/arcsec^2, in islands of "
        f"probability >= {pixels['threshold']:.3f}",
        f"mean of the images: {means}",
        f"by objects, which overlap by {objects['overlap']:g} or more:",
        *(
            f"{name} {_share(objects[name])}, {objects[name]['matched']} of "
            f"{objects[name]['count']} {whole}"
            for name, whole in (("completeness", "objects"), ("purity", "islands"))
        ),
    ]
    for name, (title, unit) in BINS.items():
        lines += ["", *_bins(objects["bins"][name], title, unit)]
    return "\n".join(lines)


def _bins(table: dict[str, Any], title: str, unit: float) -> list[str]:
    """Return completeness and purity in bins that hold objects or islands."""
    lines = [f"{title:28}{'completeness':>16}{'objects':>9}{'purity':>16}{'islands':>9}"]
    edges = [edge * unit for edge in table["edges"]]
    for number, (whole, pure) in enumerate(
        zip(table["completeness"], table["purity"], strict=True)
    ):
        if whole["count"] or pure["count"]:
            lines.append(
                f"{range_of(edges, number):28}{_share(whole):>16}{whole['count']:9d}"
                f"{_share(pure):>16}{pure['count']:9d}"
            )
    return lines


def range_of(edges: list[float], number: int) -> str:
    """Return a bin in words."""
    if number + 1 == len(edges):
        return f"{edges[number]:g} and more"
    return f"{edges[number]:g} to {edges[number + 1]:g}"


def ratio(value: float | None) -> str:
    """Return a ratio in three digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def error(value: dict[str, Any]) -> str:
    """Return a standard error behind its value."""
    known = value["standard_error"]
    return "" if known is None else f" +- {known:.3f}"


def _share(value: dict[str, Any]) -> str:
    return f"{ratio(value['share'])}{error(value)}"
