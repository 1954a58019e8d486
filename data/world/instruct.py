"""Instructions in the world's grammar: ``make the circle red``, ``turn the ground to sand``.

Three kinds of change, two phrasings of each, and a sentence that asks for none. The first phrasing
names what changes by its shape (or as the ground), the second also by what it is before: in scenes
of two objects, which differ in colour and shape, either is enough to know which one is meant.
"""

from __future__ import annotations

from itertools import product

from data.world.edits import Change
from data.world.scene import Scene
from data.world.vocabulary import COLOURS, GROUNDS, SHAPES, held_out

#: Phrasings by kind of change; ``was_…`` is what the source shows.
PHRASINGS: dict[str, tuple[str, ...]] = {
    "colour": ("make the {was_shape} {colour}", "turn the {was_colour} {was_shape} {colour}"),
    "shape": (
        "replace the {was_shape} by a {shape}",
        "turn the {was_colour} {was_shape} into a {shape}",
    ),
    "ground": ("turn the ground to {ground}", "change the {was_ground} to {ground}"),
}
KEEP = "keep the picture"  # asks for nothing
NAMES = (*COLOURS, *SHAPES, *GROUNDS)
#: Every word an instruction may hold, sorted.
WORDS = tuple(
    sorted(
        {
            word
            for text in (KEEP, *(text for texts in PHRASINGS.values() for text in texts))
            for word in text.split()
            if "{" not in word
        }
        | set(NAMES)
    )
)
LONGEST = max(len(text.split()) for texts in PHRASINGS.values() for text in texts)  # words


def instruction(scene: Scene, change: Change, phrasing: int = 0) -> str:
    """What asks for a change of a scene.

    Raises ValueError for a change of several attributes, or one that the grammar has no words for.
    """
    if change.kind not in PHRASINGS:
        raise ValueError(f"instructions ask for one of {', '.join(PHRASINGS)}, not {change.kind}")
    thing = scene.objects[change.object]
    return PHRASINGS[change.kind][phrasing].format(
        was_colour=thing.colour,
        was_shape=thing.shape,
        was_ground=scene.ground,
        **{change.kind: getattr(change, change.kind)},
    )


def all_instructions() -> list[str]:
    """Every sentence of the grammar."""
    found = [KEEP]
    for kind, texts in PHRASINGS.items():
        new = {"colour": COLOURS, "shape": SHAPES, "ground": GROUNDS}[kind]
        for text, value, colour, shape, ground in product(texts, new, COLOURS, SHAPES, GROUNDS):
            was = {"was_colour": colour, "was_shape": shape, "was_ground": ground}
            if value not in (was[name] for name in was if f"{{{name}}}" in text):
                found.append(text.format(**{kind: value}, **was))
    return list(dict.fromkeys(found))


def shows_held_out(scene: Scene) -> bool:
    """Whether any object and the ground are one of the combinations that training never shows."""
    return any(held_out(obj.colour, obj.shape, scene.ground) for obj in scene.objects)
