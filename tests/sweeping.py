"""A sweep on one rank with a model that is no file."""

from dataclasses import replace

import numpy as np
from fields import NOISE

from cosmodeep_hpc import workpool
from cosmodeep_hpc.config import Classify, Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.survey.foreman import Sweep
from cosmodeep_hpc.survey.task import Outcome, Request
from cosmodeep_hpc.survey.worker import Worker
from cosmodeep_hpc.world import open_world


def sweep_with(
    model, paths, out, request=None, *, write=None, restart=True, is_stopped=None, **options
):
    """Sweep files; what became of each. `write` is called in place of writing the products."""
    out.mkdir(exist_ok=True)
    request = request or Request()
    config = replace(Config(), classify=Classify(**options))
    foreman = Sweep(
        config,
        request,
        paths,
        out,
        model.card,
        "0" * 64,
        at_once=1,
        strict=False,
        restart=restart,
        is_stopped=is_stopped or (lambda: False),
        progress=lambda *words: None,
        note=lambda line: None,
    )
    worker = Worker(config, request, paths, out, model, "0" * 64, write=write)
    workpool.work(open_world(), foreman, worker.prepare, worker.finish)
    return [foreman.outcomes[n] for n in sorted(foreman.outcomes)]


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(0, NOISE, shape).astype(np.float32)


def swept(path, model, request=None, restart=True, left=None, **options):
    """Sweep a file; what is swept, before its products are written; None where it was stopped."""
    found = []

    def take(result):
        found.append(result)
        return Outcome(path=path, state="done")

    out = path.parent / "out"
    how = {"write": take, "restart": restart, "is_stopped": left}
    for outcome in sweep_with(model, [path], out, request, **how, **options):
        if outcome.state == "failed":
            raise InputError(outcome.notes[0])
    return found[0] if found else None


def probability(path, model, **words):
    return swept(path, model, **words).planes[0].probability
