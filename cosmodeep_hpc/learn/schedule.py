"""The learning rate as a function of the step alone, so that a resumed run needs no state of it."""

from __future__ import annotations

import math

from cosmodeep_hpc.config.configuration import Train


def peak_rate(train: Train) -> float:
    """The learning rate after the warm-up: that of `base_batch`, scaled to the global batch.

    `linear`: by the ratio r of the batches, as the mean gradient of a batch r times as large is
    stepped along once instead of r times. `square_root`: by its root, which keeps the noise that
    adaptive optimisers such as Adam see.

    Source: Goyal et al. (2017), section 2.1; Malladi et al. (2022).
    """
    ratio = train.batch / train.base_batch
    factor = {"none": 1.0, "linear": ratio, "square_root": math.sqrt(ratio)}
    return train.learning_rate * factor[train.learning_rate_rule]


def learning_rate(train: Train, step: int, steps: int) -> float:
    """The learning rate of a step of a run.

    Args:
        step: global batches done since the run began. steps: global batches in an epoch.

    Source: Goyal et al. (2017), section 2.2 (the gradual warm-up); Loshchilov & Hutter (2017),
    section 3 (the cosine).
    """
    warm = train.warmup_epochs * steps
    rising = min(1.0, (step + 1) / warm if warm > 1 else 1.0)
    if train.schedule == "constant" or rising < 1:
        return peak_rate(train) * rising
    left = train.epochs * steps - warm  # steps after the warm-up
    done = min(max(step - warm, 0.0) / left, 1.0) if left > 0 else 0.0
    return peak_rate(train) * (1 + math.cos(math.pi * done)) / 2
