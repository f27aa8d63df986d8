"""The picture of the cosmic web: gas stands where the emission does."""

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import FlatLambdaCDM

from cosmodeep_hpc.config.sky import Sky
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.paper.cosmicweb import boxes_in, gas_column
from cosmodeep_hpc.sky import box, spread
from cosmodeep_hpc.sky.lightcone import ImagePlane, Orientation, Slab
from cosmodeep_hpc.sky.recipes import particle_meshes
from cosmodeep_hpc.sky.shocks import Elements

SLAB = Slab(0, 0, 800.0, 64.0, 64.0)
VIEW = ImagePlane(pixels=128, scale=150.0)
TURNS = [
    Orientation(0, (0, 1, 2), (False, False, False), (0.0, 0.0, 0.0)),
    Orientation(0, (2, 0, 1), (False, True, False), (0.2, 0.9, 0.4)),
    Orientation(0, (1, 2, 0), (True, True, True), (0.7, 0.1, 0.3)),
]


def test_even_gas_has_the_column_of_the_slab():
    cosmology = FlatLambdaCDM(H0=67.8, Om0=0.308, Ob0=0.0478)
    column = gas_column(np.ones((16, 16, 16), np.float32), SLAB, TURNS[0], VIEW)
    z = SLAB.redshift
    density = cosmology.critical_density0 * cosmology.Ob0 * (1 + z) ** 3
    expected = (density * SLAB.depth * units.Mpc / (1 + z)).to_value("g/cm2")
    assert column == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("turned", TURNS)
def test_a_clump_of_gas_stands_where_its_shock_is_seen(turned):
    density = np.ones((64, 64, 64), np.float32)
    density[30, 22, 45] = 1e5
    row = np.full(1, 3, np.float32)
    tiny = np.full((1, 3), 1e-3, np.float32)
    place = np.array([[30, 22, 45]], np.float32)  # cell i has its centre at i cells of 1 Mpc
    shock = Elements(place, tiny, tiny[:, ::-1] * [[1, -1, 1]], row, row, row, row,
                     np.zeros(1, np.int32))  # fmt: skip
    light = np.zeros((128, 128))
    spread.paint(light, shock, np.full(1, 1e30, np.float32), SLAB, turned, VIEW, 1)
    column = gas_column(density, SLAB, turned, VIEW)
    seen = np.array(np.unravel_index(light.argmax(), light.shape))
    clump = np.array(np.unravel_index(column.argmax(), column.shape))
    # Lines of sight count as parallel: right to the slab's depth over its distance.
    assert light.sum() > 0
    assert np.abs(seen - clump).max() <= 3


@pytest.mark.parametrize("made", ["train", "test", "both", "none"])
def test_boxes_to_test_on_are_drawn_where_a_folder_has_no_others(tmp_path, made):
    sky = Sky(sides=(200.0,), seeds=(1,), test_seeds=(9,))
    kinds = {"train": False, "test": True}
    recipes = {kind: particle_meshes(sky, test=test)[0] for kind, test in kinds.items()}
    for kind in [made] if made in kinds else ["train", "test"] * (made == "both"):
        path = tmp_path / "boxes" / f"{recipes[kind].name}.h5"
        path.parent.mkdir(exist_ok=True)
        box.write(path, recipes[kind].digest, 200.0, {}, [])
    if made == "none":
        with pytest.raises(InputError, match="no such box"):
            boxes_in(tmp_path, sky)
        return
    expected = recipes["test" if made == "test" else "train"].name
    assert [found.path.stem for found in boxes_in(tmp_path, sky)] == [expected]
