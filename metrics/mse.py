"""Mean squared error of pixels."""

from __future__ import annotations

import numpy as np

from metrics.compared import Compared
from metrics.pixels import mse


class Mse(Compared):
    """MSE times 1000 over the pixels compared: to the source in all, outside or inside the objects
    (``mse``, ``mse_outside``, ``mse_inside``), or to the oracle video."""

    name = "mse"
    unit = "x1000"
    range = (0.0, 1000.0)
    citation = "per frame over RGB in [0, 1], x 1000"

    def values(
        self, frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None
    ) -> np.ndarray:
        return 1e3 * mse(frames, reference, where)
