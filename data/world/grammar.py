"""Captions of scenes: ``a photo of a red circle and a blue star on grass``."""

from __future__ import annotations

from data.world.scene import Scene


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def caption(scene: Scene) -> str:
    """The prompt that describes a scene; its motion only where ``scene.motion`` names one."""
    things = " and ".join(f"{_article(obj.colour)} {obj.shape}" for obj in scene.objects)
    motion = f" moving {scene.motion}" if scene.motion else ""
    return f"a {scene.style} of {things}{motion} on {scene.ground}"
