"""Options of the sweep."""

from __future__ import annotations

from dataclasses import dataclass

from cosmodeep_hpc.options import Section, option


@dataclass(frozen=True, kw_only=True)
class Classify(Section):
    """The sweep of a mosaic."""

    batch: int = option(500, "tiles given to the network at once", unit="tile", low=1)
    min_coverage: float = option(
        0.5, "share of a tile's pixels with data below which it is no data", above=0, high=1
    )
