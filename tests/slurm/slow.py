"""`python slow.py ...`: cosmodeep, which waits a while at each step of training, or stripe.

So that a job can be hit in the middle and its end still comes soon: only the first start waits.
"""

import os
import sys
import time

from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.survey.worker import Worker


def later(method):
    def waits(self, *arguments, **named):
        time.sleep(float(os.environ["STEP_SECONDS"]))
        return method(self, *arguments, **named)

    return waits


print(f"{os.uname().nodename} start {os.environ.get('SLURM_RESTART_COUNT', 0)}", flush=True)
if "SLURM_RESTART_COUNT" not in os.environ:
    Step.train = later(Step.train)
    Worker.finish = later(Worker.finish)
sys.exit(main(sys.argv[1:]))
