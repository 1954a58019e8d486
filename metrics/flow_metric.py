"""What the metrics over optical flow share: by what it is estimated, and from which size on."""

from __future__ import annotations

import numpy as np

from metrics.base import Family, Sample
from metrics.memo import Memo
from metrics.motion import dis_flow
from metrics.nets import raft

DIS, RAFT = "dis", "raft-large"
_SMALLEST = {DIS: 16, RAFT: raft.SMALLEST}
_known: dict[str, Memo[tuple[np.ndarray, np.ndarray]]] = {DIS: Memo(), RAFT: Memo()}


def estimate(by: str, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forward and backward flow, (N - 1, H, W, 2) pixels, of (N, H, W, 3) frames (N > 1).

    Remembered for the last few videos. Raises MissingExtractor where RAFT's weights are absent.
    """
    levels = frames if frames.dtype == np.uint8 else np.round(frames * 255).astype(np.uint8)

    def compute() -> tuple[np.ndarray, np.ndarray]:
        return dis_flow(levels) if by == DIS else raft.flow_between(raft.raft(), levels)

    return _known[by].get(levels, compute)


class FlowMetric(Family):
    """A metric over estimated flow: OpenCV's DIS, which needs no weights, or RAFT."""

    extractors = (DIS, RAFT)

    @property
    def extractor_digest(self) -> str:
        """Digest of RAFT's weights, ``absent`` where they are missing; empty for the others."""
        return raft.EXTRACTOR.digest() if self.extractor == RAFT else ""

    def flow(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Forward and backward flow of frames, as ``estimate``."""
        return estimate(self.extractor, frames)

    def too_small(self, frames: np.ndarray) -> str:
        """Why flow cannot be estimated on frames of this size; empty if it can."""
        least = _SMALLEST.get(self.extractor, 1)
        if min(frames.shape[1:3]) >= least:
            return ""
        return f"frames are too small for optical flow: {least} pixels a side are needed"


def motion_edited(sample: Sample) -> str:
    """Why the frames need not follow the source's flow; empty if they are to."""
    if sample.edit is not None and "motion" in sample.edit.kind.split("+"):
        return "the edit changes the motion: the source's flow is not the target's"
    return ""
