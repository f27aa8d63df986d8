"""What the engine computes with."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""Float32 numbers of any shape."""
