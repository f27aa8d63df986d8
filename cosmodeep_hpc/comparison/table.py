"""The comparison as text."""

from __future__ import annotations

from typing import Any

from cosmodeep_hpc.comparison import masktable
from cosmodeep_hpc.comparison.scoredtiles import FAMILIES

WIDTH = 30  # of a row's title
RATIOS = ("Ws", "Wv", "purity")  # after As and its error


def text(result: dict[str, Any]) -> str:
    """Return the content of `compare.json` as tables to read."""
    if not result:
        return ""
    lines = [
        f"{result['tiles']} tiles of {result['images']} images; settings and thresholds of all but "
        f"the network chosen on {result['chosen_on']}"
    ]
    for table in result["rules"]:
        lines += ["", *_rule(table)]
    for name, rows in result["islands"].items():
        lines += ["", *_islands(name, rows)]
    if result["at_equal_purity"]:
        lines += ["", *_equal_purity(result)]
    lines += ["", *_flux(result["by_flux"])]
    lines += ["", masktable.text(result["maps"], result["chosen_on"])]
    seconds = [f"{name} {value:.2f}" for name, value in result["seconds_an_image"].items()]
    lines += ["", f"seconds an image (source finders: of one threshold): {', '.join(seconds)}"]
    return "\n".join(lines)


def _rule(table: dict[str, Any]) -> list[str]:
    """Return As, Ws, Wv of all detectors by the labels of one rule."""
    lines = [
        f"signal: more than {table['n_pix']} Sky pixels above {table['f_th']:g} Jy/arcsec^2 "
        f"({table['signal_tiles']} tiles)",
        _title("detector") + f"{'As':>8}{'error':>7}" + "".join(f"{n:>8}" for n in RATIOS)
        + "  images  network less it  as used",
    ]  # fmt: skip
    for name, row in table["detectors"].items():
        found = row["Nsc"] + row["Nvw"]
        purity = row["Nsc"] / found if found else None
        ratios = "".join(map(_ratio, (row["Ws"], row["Wv"], purity)))
        used = f"{row['way']}, >= {row['threshold']:.3g}"
        lines.append(
            _title(name) + _ratio(row["As"]) + _error(row["As_error"]) + ratios
            + f"{row['images']:8d}{_lead(row.get('network_less_it')):>17}  {used}"
        )  # fmt: skip
    for name, limit in table["limits"].items():
        plain, best = limit["maximum_likelihood"], limit["known_population"]
        for title, row, used in (
            (f"ideal limit, {name}", plain, "maximum likelihood"),
            ("", best, "knowing how many tiles are how bright"),
        ):
            ratios = "".join(_ratio(row[n]) for n in RATIOS)
            lines.append(_title(title) + _ratio(row["As"]) + " " * 7 + ratios + " " * 27 + used)
    return lines


def _islands(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return islands by threshold, and the tiles that they find in both ways."""
    lines = [
        f"{name}: {FAMILIES[name]}; tiles found by any island pixel, or by more than N_pix",
        "   sigma islands   false  false deg^2 (of sky)     any: tiles  purity  compl."
        "    more: tiles  purity  compl.",
    ]
    for row in rows:
        share = 100 * row["false_share_of_sky"]
        parts = [
            f"{row['threshold']:8g}{row['islands']:8d}{row['false_islands']:8d}"
            f"{row['false_area_deg2']:13.4f} ({share:6.3f}%)"
        ]
        for rule in ("any", "more"):
            one = row[rule]
            ratios = _ratio(one["purity"]) + _ratio(one["completeness"])
            parts.append(f"{one['tiles']:15d}{ratios}")
        lines.append("".join(parts))
    return lines


def _equal_purity(result: dict[str, Any]) -> list[str]:
    """Return the completeness of all detectors at the purity of PyBDSF's thresholds."""
    names = [name for name in FAMILIES if name in result["at_equal_purity"][0]]
    lines = [
        "completeness at the purity that PyBDSF has at each of its thresholds; in brackets of the "
        f"{result['faint_signal_tiles']} signal tiles whose Sky is nowhere above 2 sigma",
        "   sigma  purity" + "".join(f"{name:>20}" for name in names),
    ]
    for row in result["at_equal_purity"]:
        cells = [
            f"{_ratio(row[n]['completeness'])} ({_ratio(row[n]['of_faint']).strip()})".rjust(20)
            for n in names
        ]
        lines.append(f"{row['threshold']:8g}{_ratio(row['purity'])}" + "".join(cells))
    return lines


def _flux(table: dict[str, Any]) -> list[str]:
    """Return the completeness by flux."""
    names = list(table["completeness"])
    lines = [
        "completeness by the flux of the Sky in a signal tile",
        "       mJy             tiles" + "".join(f"{name:>13}" for name in names),
    ]
    edges = table["edges_jy"]
    for number, count in enumerate(table["signal_tiles"]):
        low, high = (1e3 * edge for edge in edges[number : number + 2])
        cells = "".join(f"{_ratio(table['completeness'][n][number]):>13}" for n in names)
        lines.append(f"{low:9.3g} - {high:<9.3g}{count:7d}" + cells)
    return lines


def _title(word: str) -> str:
    return f"{word:{WIDTH}}"


def _error(value: float | None) -> str:
    return f"{value:7.4f}" if value is not None else "      -"


def _lead(difference: dict[str, float | None] | None) -> str:
    """Say by how much the network's As is larger, and its error."""
    if difference is None or difference["mean"] is None:
        return "-"
    return f"{difference['mean']:+.4f}{_error(difference['standard_error'])}"


def _ratio(value: float | None) -> str:
    return f"{value:8.4f}" if value is not None else "       -"
