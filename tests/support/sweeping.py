"""A sweep on one rank with a model that is no file."""

from dataclasses import replace

import numpy as np

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import alone
from cosmodeep_hpc.products.folder import ProductFolder
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.survey.scheduler import SweepOptions
from cosmodeep_hpc.survey.sweep import sweep
from cosmodeep_hpc.survey.task import MosaicOutcome
from support.fields import NOISE


def in_memory(rows):
    """A map of pixels that outlives its file."""
    return rows and MapRows(rows.shape, rows.rows(0, rows.shape[0]))


class Kept(ProductFolder):
    """A folder that keeps what is swept in memory, and writes no products."""

    def take(self, swept):
        planes = tuple(replace(plane, pixels=in_memory(plane.pixels)) for plane in swept.planes)
        self.__dict__.setdefault("swept", []).append(replace(swept, planes=planes))
        return MosaicOutcome(path=swept.path, state="done")


def plan_of(model, paths, request=None, **options):
    """What is to be swept, with a model whose checksum nobody asks for."""
    return SweepPlan(
        images=tuple(paths),
        model=model,
        model_sha256="0" * 64,
        config=replace(Config(), classify=Classify(**options)),
        request=request or SweepRequest(),
    )


def sweep_with(
    model, paths, out, request=None, *, restart=True, is_stopped=None, kind=ProductFolder, **options
):
    """Sweep files; what became of each, and with another `kind` of folder that, too."""
    out.mkdir(exist_ok=True)
    plan = plan_of(model, paths, request, **options)
    folder = kind(out, plan.config, None, restart)
    how = SweepOptions(is_stopped=is_stopped or (lambda: False))
    outcomes = sweep(plan, folder, alone(), how)
    return outcomes if kind is ProductFolder else (outcomes, folder)


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(0, NOISE, shape).astype(np.float32)


def swept(path, model, request=None, restart=True, left=None, **options):
    """Sweep a file; what is swept, before its products are written; None where it was stopped."""
    how = {"restart": restart, "is_stopped": left, "kind": Kept}
    outcomes, folder = sweep_with(model, [path], path.parent / "out", request, **how, **options)
    if outcomes is None:
        return None
    if outcomes[0].state == "failed":
        raise InputError(outcomes[0].notes[0])
    return folder.swept[0]


def probability(path, model, **words):
    return swept(path, model, **words).planes[0].probability


def same(one, other):
    """Whether two results of `classify` are equal, bit for bit."""
    np.testing.assert_array_equal(one.probability, other.probability)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert [tuple(row) for row in one.islands.iterrows("x_cen", "flux_int", "n_cells")] == [
        tuple(row) for row in other.islands.iterrows("x_cen", "flux_int", "n_cells")
    ]
