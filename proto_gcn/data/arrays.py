"""What keypoints are held in."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
