"""TokenFlow (omerbt/TokenFlow) and PnP (MichalGeyer/pnp-diffusers) on a small UNet in float32.

A manifest's settings say of which kind it is; shapes, steps and switches are read from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.parity.families.tokenflow.attention import attention_cases
from tests.parity.families.tokenflow.inversion import inversion_cases
from tests.parity.families.tokenflow.loops import sdedit_cases, tokenflow_cases
from tests.parity.families.tokenflow.passes import pass_cases
from tests.parity.families.tokenflow.pnp import pnp_cases
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

REPOSITORIES = ("omerbt/TokenFlow", "MichalGeyer/pnp-diffusers")

#: The setting that tells a kind; where a manifest has several, the first counts.
KINDS = {
    "block": attention_cases,
    "modes": pass_cases,
    "runs": pnp_cases,
    "start": sdedit_cases,
    "pnp_f_t": tokenflow_cases,
    "save_steps": inversion_cases,
}


def cases(recording: Recording) -> Iterator[Case]:
    """The cases of a recording, by the kind that its settings show."""
    settings = recording.manifest.get("settings", {})
    for mark, kind in KINDS.items():
        if mark in settings:
            return kind(recording)
    raise CannotRun(f"settings {', '.join(settings)} are of no kind that family tokenflow knows")
