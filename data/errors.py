"""Errors meant for the person at the keyboard: one message, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong; the message says what, where and what to do."""


class Missing(UserError):
    """Weights or clips that a run needs are not on this machine; what is planned stays valid."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the closest allowed name, or nothing."""
    match = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with what does and the nearest of it."""
    names = list(allowed)
    return UserError(
        f"unknown {kind} '{name}'.{nearest(name, names)} Allowed: {', '.join(names) or 'none'}."
    )
