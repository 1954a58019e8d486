"""Which words change between two captions."""

from __future__ import annotations

from difflib import SequenceMatcher

_ARTICLES = {"a", "an", "the"}


def changed_words(source: str, target: str) -> tuple[tuple[str, str], ...]:
    """(source word, target word) pairs that differ between two captions, in order.

    Runs of equal length are paired word by word; otherwise the whole runs form one pair, of which
    one side may be empty (an insertion or deletion). Articles that only follow their noun
    ("a red" / "an orange") are not changes.
    """
    old, new = source.split(), target.split()
    pairs: list[tuple[str, str]] = []
    for tag, i0, i1, j0, j1 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if i1 - i0 == j1 - j0:
            pairs += zip(old[i0:i1], new[j0:j1], strict=True)
        else:
            pairs.append((" ".join(old[i0:i1]), " ".join(new[j0:j1])))
    return tuple((a, b) for a, b in pairs if not {a, b} <= _ARTICLES)
