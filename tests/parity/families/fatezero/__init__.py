"""FateZero (ChenyangQiQi/FateZero) and, in it, Prompt-to-Prompt on a small UNet in float32.

A manifest's file name says of which kind it is: A attention, B network, C whole edits, D words.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.parity.families.fatezero.aligner import aligner_cases
from tests.parity.families.fatezero.attention import attention_cases
from tests.parity.families.fatezero.edits import edit_cases
from tests.parity.families.fatezero.network import network_cases
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

REPOSITORIES = ("ChenyangQiQi/FateZero",)

KINDS = {"A": attention_cases, "B": network_cases, "C": edit_cases, "D": aligner_cases}


def cases(recording: Recording) -> Iterator[Case]:
    """The cases of a recording, by the letter that its file begins with."""
    letter = recording.manifest["file"].split("_")[0][:1]
    if letter not in KINDS:
        raise CannotRun(f"'{recording.manifest['file']}' is of no kind that family fatezero knows")
    return KINDS[letter](recording)
