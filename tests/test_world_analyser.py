"""The analyser against rendered truth: what it reads is what was drawn."""

import numpy as np
import pytest
from scipy import ndimage

from data.world.analyser import analyse
from data.world.render import render_frames
from data.world.sample import draw_scene

# The analyser was developed on the pictures of families 11 and 29; these it has never seen.
FAMILY = 53


def readings(style: str, count: int, change=lambda frame: frame):
    """(scene, reading) of random one-object pictures."""
    for k in range(count):
        rng = np.random.default_rng([FAMILY, k])
        scene = draw_scene(rng, objects=1, style=style, unseen=bool(k % 2))
        frame = render_frames(scene, [int(rng.integers(scene.n_frames))])[0]
        yield scene, analyse(change(frame), most=1)


def share_right(pairs) -> float:
    return np.mean(
        [
            reading.shows(scene.objects[0].colour, scene.objects[0].shape, scene.ground)
            for scene, reading in pairs
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("style", "least"), [("photo", 0.97), ("mosaic", 0.9), ("watercolour", 0.9), ("sketch", 0.9)]
)
def test_colour_shape_and_ground_are_read_together(style, least):
    pairs = list(readings(style, 80))
    assert share_right(pairs) >= least
    assert np.mean([reading.style == style for _, reading in pairs]) >= 0.95


@pytest.mark.slow
def test_a_slight_blur_and_noise_change_nothing():
    rng = np.random.default_rng(0)

    def degrade(frame):
        soft = ndimage.gaussian_filter(frame.astype(float), (0.6, 0.6, 0))
        return np.clip(soft + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)

    assert share_right(readings("photo", 60, degrade)) >= 0.95


def test_an_empty_or_flat_picture_shows_no_object():
    assert analyse(np.full((64, 64, 3), 30, np.uint8)).objects == ()


def test_two_objects_are_both_found():
    hits = []
    for k in range(12):
        scene = draw_scene(np.random.default_rng([3, k]), objects=2, style="photo")
        found = {(o.colour, o.shape) for o in analyse(render_frames(scene, [0])[0]).objects}
        hits.append(found == {(o.colour, o.shape) for o in scene.objects})
    assert np.mean(hits) >= 0.8


@pytest.mark.parametrize("picture", [np.zeros((32, 64, 3), np.uint8), np.zeros((64, 64, 3))])
def test_what_is_not_a_picture_of_the_world_is_refused(picture):
    with pytest.raises(ValueError, match="uint8 picture"):
        analyse(picture)
