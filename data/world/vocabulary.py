"""The words of the world and the colours they stand for."""

from __future__ import annotations

SIZE = 64  # pixels, height and width of a frame

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 40),
    "orange": (245, 135, 25),
    "yellow": (250, 225, 50),
    "green": (40, 170, 60),
    "cyan": (60, 215, 220),
    "blue": (40, 75, 220),
    "purple": (150, 55, 200),
    "white": (248, 248, 248),
}
SHAPES = ("circle", "square", "triangle", "star", "ring")
GROUNDS = ("grass", "sand", "water", "brick", "snow", "night")
STYLES = ("photo", "sketch", "mosaic", "watercolour")  # "photo" is the unstyled rendering
MOTIONS = ("left", "right", "up", "down")
OUTLINE = (28, 26, 34)  # every object's rim, so that green on grass still has an edge


def held_out(colour: str, shape: str, ground: str) -> bool:
    """True for the fifth of all (colour, shape, ground) triples that training never shows.

    Every colour, shape and ground, and every pair of them, still appears in training: what is held
    out is the combination. The benchmark's source scenes are drawn from these triples alone.
    """
    index = list(COLOURS).index(colour) + 2 * SHAPES.index(shape) + 3 * GROUNDS.index(ground)
    return index % 5 == 0
