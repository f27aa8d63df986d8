"""A field as a sweep sees it: the map of pixels, its islands, and the tiles of the same pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.evaluation.fields import averaged_before
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.products.classify import classified
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.tiles.pairs import Pair
from cosmodeep_hpc.tiles.tiling import grid_shape


@dataclass(frozen=True, kw_only=True)
class MappedField:
    """What `classify` gives for the Noise image of a pair.

    Attributes:
        probability: of cells, float32 (rows, cols); NaN: no data.
        islands: cells in the islands kept, bool (rows, cols).
        tiles: probability of tiles, float32 (rows, cols) of their grid; NaN: no data.
        side: of a cell [pixel].
    """

    probability: NDArray[np.float32]
    islands: NDArray[np.bool_]
    tiles: NDArray[np.float32]
    side: int

    @classmethod
    def of(cls, config: Config, model: TrainedModel, pair: Pair) -> MappedField:
        """Classify the Noise image of a pair, by the rule of the model's card.

        Args:
            config: its section `classify` counts, but for overlapping tiles.
            model: one that knows pixels.

        Raises:
            InputError: the image cannot be swept, or it is averaged before the network sees it.
        """
        assert model.blocks is not None
        side = model.blocks.finest
        settings = replace(config, classify=replace(config.classify, stride=0))
        found = classified(
            SweepPlan(
                images=(pair.noise,),
                model=model,
                model_sha256="",
                config=settings,
                request=SweepRequest(),
            )
        )
        if found.probability.shape != grid_shape(open_image(pair.noise).shape, side):
            raise averaged_before(pair.noise)
        return cls(
            probability=found.probability,
            islands=found.mask[::side, ::side] == 1,
            tiles=found.tile_probability,
            side=side,
        )
