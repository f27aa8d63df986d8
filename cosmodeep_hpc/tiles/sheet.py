"""A picture of a shard: some of its tiles, each with its label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.checksum import BLOCK
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.tiles import labels
from cosmodeep_hpc.tiles.shard import open_shard


def draw(path: Path, picture: Path, label: Label, count: int = 50) -> tuple[int, int]:
    """Draw up to `count` tiles of a shard, half of them signal if it has enough.

    Above each tile stand its image, row and column, 1 for signal or 0 for noise, and its number of
    bright Sky pixels.

    Returns:
        tiles in the shard, and how many of them are signal by `label`.

    Raises:
        InputError: the shard is bad, was not made with the label's threshold, or `picture` is no
            name of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if picture.suffix != ".png":
        raise InputError(f"{picture}: expected the name of a picture, such as sheet.png")
    with open_shard(path) as shard:
        column = labels.column(shard.attributes["thresholds"], label.f_th, path)
        counts = shard.read("counts", 0, shard.n_rows)[:, column]
        signal = labels.is_signal(counts, label.n_pix)
        chosen = np.sort(
            np.concatenate(
                [np.flatnonzero(signal)[: count // 2], np.flatnonzero(~signal)[: -(-count // 2)]]
            )
        )
        place = [shard.read(name, 0, shard.n_rows) for name in ("image", "row", "col")]
        first = {int(r) // BLOCK * BLOCK for r in chosen}
        tiles = {
            start + i: tile
            for start in sorted(first)
            for i, tile in enumerate(shard.read("tiles", start, min(start + BLOCK, shard.n_rows)))
        }
    columns = 10
    lines = max(1, -(-len(chosen) // columns))
    figure = Figure(figsize=(columns * 1.2, lines * 1.45 + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    lower, upper = (
        np.percentile(np.stack([tiles[r] for r in chosen]), [1, 99.5]) if len(chosen) else (0, 1)
    )
    for axis in axes:
        axis.set_axis_off()
    for axis, row in zip(axes, chosen, strict=False):
        axis.imshow(tiles[row], origin="lower", cmap="magma", vmin=lower, vmax=upper)
        where = ",".join(str(p[row]) for p in place)
        axis.set_title(
            f"{int(signal[row])}  ({counts[row]})\n{where}",
            fontsize=7,
            color="tab:red" if signal[row] else "black",
        )
    figure.suptitle(
        f"{path.name}: 1 = more than {label.n_pix} Sky pixels above {label.f_th:.3g} "
        "Jy/arcsec²; (bright pixels); image, row, col",
        fontsize=9,
    )
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=110)
    return len(signal), int(signal.sum())
