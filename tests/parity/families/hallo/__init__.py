"""Hallo (fudan-generative-vision/hallo): modules, two small networks, the loop, what prepares them.

The file of a recording begins with its kind: B modules, C networks and loop, D preparation. Sizes
follow from the recorded weights; heads and groups, which weights do not show, from the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.parity.families.hallo import loop, modules, networks, preparation
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

REPOSITORIES = ("fudan-generative-vision/hallo",)

KINDS = {**modules.KINDS, **networks.KINDS, **loop.KINDS, **preparation.KINDS}


def cases(recording: Recording) -> Iterator[Case]:
    """The cases of a recording, by what its file begins with."""
    kind = recording.manifest["file"].split("_")[0]
    if kind not in KINDS:
        raise CannotRun(f"'{recording.manifest['file']}' is of no kind that family hallo knows")
    return KINDS[kind](recording)
