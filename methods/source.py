"""The unedited source: the best any method can do at keeping, the worst at editing."""

from __future__ import annotations

import numpy as np

from methods.base import Context, Requirements
from methods.controls import Control


class Source(Control):
    """Control: no edit at all."""

    name = "source"
    paper = "control: the source frames"
    requires = Requirements(backbone=False, edit=False)

    def frames(self, ctx: Context) -> np.ndarray:
        """The clip's own frames."""
        return ctx.clip.frames
