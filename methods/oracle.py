"""The true answer, where a dataset knows it: the same motion rendered with the edit."""

from __future__ import annotations

import numpy as np

from data.errors import UserError
from methods.base import Context, Requirements
from methods.controls import Control


class Oracle(Control):
    """Control: the rendered edit."""

    name = "oracle"
    paper = "control: the true edit"
    requires = Requirements(backbone=False, oracle=True)

    def frames(self, ctx: Context) -> np.ndarray:
        """The edit's oracle; :class:`UserError` for an edit that has none."""
        if ctx.edit is None or ctx.edit.oracle is None:
            edit = ctx.edit.id if ctx.edit else None
            raise UserError(f"clip '{ctx.clip.id}', edit '{edit}' has no oracle frames")
        return ctx.edit.oracle
