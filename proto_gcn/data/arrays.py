"""This module names the type of a keypoint array."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
