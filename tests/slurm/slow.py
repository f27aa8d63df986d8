"""`python slow.py ...`: cosmodeep, whose training waits a while at each step.

So that a job can be hit in mid-training and its end still comes soon: only the first start waits.
"""

import os
import sys
import time

from cosmodeep_hpc.cli import main
from cosmodeep_hpc.learn.notice import Notice

heard = Notice.heard


def later(self, *arguments):
    time.sleep(float(os.environ["STEP_SECONDS"]))
    return heard(self, *arguments)


print(f"{os.uname().nodename} start {os.environ.get('SLURM_RESTART_COUNT', 0)}", flush=True)
if "SLURM_RESTART_COUNT" not in os.environ:
    Notice.heard = later
sys.exit(main(sys.argv[1:]))
