"""Which keyframes a frame draws on, against the rules written out frame by frame."""

from __future__ import annotations

import pytest
import torch

from methods.routes import Route, paper_route, released_route


def test_blend_weights_as_released() -> None:
    """The eight weights of a batch of eight, as computed from the released code."""
    weights = [0.6225, 0.6514, 0.6792, 0.7058, 0.7311, 0.7109, 0.6971, 0.6869]
    way = released_route(range(24), 8)
    assert way.weight[:8].tolist() == [1.0] * 8
    for batch in (1, 2):
        part = way.weight[8 * batch : 8 * batch + 8]
        torch.testing.assert_close(part, torch.tensor(weights), atol=5e-5, rtol=0)
    assert way.first.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert way.second.tolist() == [0] * 16 + [1] * 8


def shares(way: Route, n_keyframes: int) -> list[list[float]]:
    """How much each frame takes of each keyframe."""
    table = torch.zeros(len(way.first), n_keyframes)
    for frame, (first, second, weight) in enumerate(
        zip(way.first, way.second, way.weight, strict=True)
    ):
        table[frame, first] += weight
        table[frame, second] += 1 - weight
    return table.tolist()


@pytest.mark.parametrize("keyframes", [[3], [0, 9], [2, 3, 8], [1, 4, 6, 9]])
def test_the_papers_blend_goes_linearly_from_keyframe_to_keyframe(keyframes: list[int]) -> None:
    found = shares(paper_route(range(10), keyframes), len(keyframes))
    for frame, row in enumerate(found):
        expected = [0.0] * len(keyframes)
        before = [k for k, at in enumerate(keyframes) if at <= frame]
        after = [k for k, at in enumerate(keyframes) if at >= frame]
        if before and after and before[-1] != after[0]:
            gap = keyframes[after[0]] - keyframes[before[-1]]
            expected[before[-1]] = (keyframes[after[0]] - frame) / gap
            expected[after[0]] = (frame - keyframes[before[-1]]) / gap
        else:
            expected[before[-1] if before else after[0]] = 1.0
        assert row == pytest.approx(expected)


def test_routes_do_not_depend_on_how_frames_are_grouped() -> None:
    for way in (lambda frames: released_route(frames, 6), lambda f: paper_route(f, [4, 7, 15])):
        whole, part = way(range(20)), way(range(7, 20))
        for name in ("first", "second", "weight"):
            assert torch.equal(getattr(whole, name)[7:], getattr(part, name))
