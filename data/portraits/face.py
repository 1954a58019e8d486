"""What a face is, and how it holds itself in each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZE = 64  # pixels, height and width of a frame

SKINS: dict[str, tuple[int, int, int]] = {
    "pale": (246, 214, 190),
    "fair": (232, 186, 152),
    "olive": (208, 162, 118),
    "tan": (188, 136, 96),
    "brown": (152, 104, 72),
}
HAIRS: dict[str, tuple[int, int, int]] = {
    "black": (42, 36, 40),
    "chestnut": (96, 56, 36),
    "blond": (218, 184, 104),
    "red": (172, 74, 34),
    "grey": (164, 164, 168),
}
CUTS = ("short", "long", "fringe")
GROUNDS: dict[str, tuple[int, int, int]] = {
    "blue": (96, 136, 190),
    "green": (112, 158, 112),
    "rose": (206, 156, 166),
    "sand": (212, 198, 160),
    "slate": (92, 98, 112),
    "white": (232, 234, 236),
}
EYES: dict[str, tuple[int, int, int]] = {
    "dark": (52, 36, 28),
    "blue": (52, 92, 156),
    "green": (60, 116, 72),
}
SHIRTS: tuple[tuple[int, int, int], ...] = (
    (60, 70, 120), (150, 50, 50), (70, 110, 80), (230, 230, 225), (60, 60, 64), (200, 150, 60),
)  # fmt: skip
LIPS = (186, 82, 84)
INSIDE = (44, 10, 16)  # of an open mouth


@dataclass(frozen=True)
class Face:
    """A face: names of the vocabulary above, and lengths in pixels."""

    skin: str
    hair: str
    cut: str
    eyes: str
    ground: str
    shirt: int
    half_width: float  # of the head
    half_height: float
    x: float  # of the head's middle
    y: float
    brow: float  # half the thickness
    mouth: float  # half its width
    grain: int = 0  # seed of the ground's clouds

    @property
    def description(self) -> str:
        """Its words: a caption for people."""
        return f"a face with {self.skin} skin and {self.hair} hair before a {self.ground} wall"


@dataclass(frozen=True)
class Motion:
    """How a head moves in N frames."""

    x: np.ndarray  # (N,) pixels to the right
    y: np.ndarray  # (N,) pixels down
    lids: np.ndarray  # (N,) in [0, 1]: how far the eyes are open


def held_out(skin: str, hair: str, ground: str) -> bool:
    """True for the fifth of all (skin, hair, ground) triples that training never shows."""
    index = list(SKINS).index(skin) + 2 * list(HAIRS).index(hair) + 3 * list(GROUNDS).index(ground)
    return index % 5 == 0
