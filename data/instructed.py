"""Edits that are asked for by an instruction: what is to change, not what is to be seen.

A kind of edit of their own: methods that read no instruction see what they always saw.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.clip import Edit


@dataclass(frozen=True)
class InstructedEdit(Edit):
    """``prompt`` still describes the target; ``instruction`` says how to get there."""

    instruction: str = ""


def instruction_of(edit: Edit | None) -> str:
    """The instruction of an edit; empty where it has none."""
    return getattr(edit, "instruction", "")
