"""What a rank would compute on: `start_tensorflow` with a TensorFlow that only pretends."""

import os
import sys
from unittest.mock import MagicMock

from cosmodeep_hpc.parallel.runtime import start_tensorflow
from cosmodeep_hpc.parallel.world import open_world

tf = MagicMock()
tf.config.list_physical_devices.side_effect = lambda kind: (
    os.environ["CUDA_VISIBLE_DEVICES"].split(",") if kind == "GPU" else ["CPU"]
)
sys.modules |= {"tensorflow": tf, "keras": MagicMock()}
world = open_world()
start_tensorflow(world)
((device, kind),) = [call.args for call in tf.config.set_visible_devices.call_args_list]
assert kind == "GPU"
lines = world.comm.gather(f"{os.uname().nodename} GPU {device}")
if world.is_root:
    print("\n".join(lines), flush=True)
