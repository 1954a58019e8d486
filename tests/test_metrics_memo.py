"""What was computed for some frames is computed once, and forgotten when there is too much."""

from __future__ import annotations

import numpy as np

from metrics.memo import Memo


def test_equal_frames_are_computed_once_and_others_apart():
    memo, calls = Memo(), []
    frames = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)

    def compute() -> np.ndarray:
        calls.append(1)
        return np.zeros(3)

    first = memo.get(frames, compute)
    assert memo.get(frames.copy(), compute) is first
    for other in (frames.reshape(2, 1, 4, 3), frames.astype(float), frames[:, ::-1]):
        memo.get(other, compute)
    assert len(calls) == 4


def test_the_longest_unused_is_forgotten_first_and_the_source_stays():
    memo = Memo(limit=3 * 80)
    source = np.zeros((1, 1, 1, 3))
    held = memo.get(source, lambda: [np.zeros(5), np.zeros(5)])  # 80 bytes
    for value in range(1, 9):
        memo.get(np.full((1, 1, 1, 3), value), lambda: [np.zeros(10)])
        assert memo.get(source, lambda: [np.ones(10)]) is held


def test_what_is_larger_than_the_limit_is_not_kept():
    memo, frames = Memo(limit=10), np.zeros((1, 1, 1, 3))
    assert memo.get(frames, lambda: np.zeros(9)).size == 9
    assert memo.get(frames, lambda: np.zeros(8)).size == 8
