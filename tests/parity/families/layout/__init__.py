"""Layout-Guidance, the port of it that walkthrough 004 quotes, and Attend-and-Excite.

Recorded on a small UNet and tokenizer that family fatezero keeps; the repository says which of the
three a recording is of. Prompts, boxes, sizes and settings are read from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.parity.families.layout.excitation import excitation_cases
from tests.parity.families.layout.guidance import guidance_cases
from tests.parity.families.layout.loss import loss_cases
from tests.parity.families.layout.port import port_cases
from tests.parity.recording import Recording
from tests.parity.run import Case

ORIGINAL = "silent-chen/layout-guidance"
PORT = "nipunjindal/diffusers-layout-guidance"
EXCITE = "yuval-alaluf/Attend-and-Excite"
REPOSITORIES = (ORIGINAL, PORT, EXCITE)


def cases(recording: Recording) -> Iterator[Case]:
    """The cases of a recording, by the repository it was made with."""
    if PORT in recording.repositories:
        yield from port_cases(recording)
    elif EXCITE in recording.repositories:
        yield from excitation_cases(recording)
    else:
        yield from guidance_cases(recording)
        yield from loss_cases(recording)
