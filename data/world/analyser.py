"""Read a picture of the world back: its style and ground, and each object's colour and shape.

Analysis by synthesis, from pixels alone and with nothing learned: see ``backdrop`` for ground and
style, ``fitting`` for objects. What does not look like the ground is an object. Where two backdrops
explain the patches about as well (snow is smooth in every style), the one in which the object's
rendering comes closest is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from data.world.backdrop import Backdrop, likely_backdrops
from data.world.fitting import WORST, Found, fit
from data.world.vocabulary import SIZE

# RGB distance within which a pixel passes for ground; a sketch's fills are pale.
_NEAR = {"photo": 36.0, "sketch": 17.0, "mosaic": 36.0, "watercolour": 26.0}
_SMALLEST = 45  # pixels; a smaller patch of non-ground is a fleck, not an object
_DOUBT = 260.0  # backdrops whose costs differ by less are told apart by the object


@dataclass(frozen=True)
class Reading:
    """What a picture shows; objects from largest to smallest."""

    style: str
    ground: str
    objects: tuple[Found, ...]

    def shows(self, colour: str, shape: str, ground: str) -> bool:
        """True if the largest object and the ground are these."""
        return bool(self.objects) and (
            self.objects[0].colour,
            self.objects[0].shape,
            self.ground,
        ) == (colour, shape, ground)


def _blobs(frame: np.ndarray, backdrop: Backdrop, most: int) -> list[np.ndarray]:
    """(64, 64) bool regions that are not ground, largest first."""
    away = frame[..., None, :].astype(float) - backdrop.palette
    far = np.sqrt((away**2).sum(axis=-1)).min(axis=-1) > _NEAR[backdrop.style]
    # A thin rim may be all that shows (white on snow): fill what it encloses before thin lines go.
    far = ndimage.binary_closing(np.pad(far, 3))[3:-3, 3:-3]
    whole = ndimage.binary_fill_holes(far)
    solid = ndimage.binary_opening(whole, iterations=2)
    labels, count = ndimage.label(solid)
    sizes = ndimage.sum_labels(solid, labels, np.arange(1, count + 1))
    order = [int(k) + 1 for k in np.argsort(-sizes) if sizes[k] >= _SMALLEST][:most]
    # Opening also takes a star's arms: grow back into what is connected.
    return [ndimage.binary_dilation(labels == k, iterations=4, mask=whole) for k in order]


def analyse(frame: np.ndarray, most: int = 2) -> Reading:
    """Read a (64, 64, 3) uint8 picture; at most ``most`` objects are looked for.

    Raises ValueError for anything else.
    """
    if frame.shape != (SIZE, SIZE, 3) or frame.dtype != np.uint8:
        raise ValueError(
            f"expected a ({SIZE}, {SIZE}, 3) uint8 picture, got {frame.shape} {frame.dtype}"
        )
    readings = []
    for backdrop in likely_backdrops(frame, _DOUBT):
        style, ground = backdrop.style, backdrop.ground
        blobs = _blobs(frame, backdrop, most)
        readings.append(
            Reading(style, ground, tuple(fit(frame, style, ground, blob) for blob in blobs))
        )
    return min(readings, key=lambda reading: reading.objects[0].error if reading.objects else WORST)
