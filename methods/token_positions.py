"""Where the words of a phrase stand among a prompt's tokens.

Not :mod:`methods.words`, whose rules are those of Prompt-to-Prompt's mappers. A layout's phrase is
written by whoever drew the boxes, so "star" is found in "a star, and a moon": case and punctuation
do not count, the phrase is looked for as a whole before its words are, only the first place is
meant, and characters lead to tokens by the tokenizer's own offsets. :func:`word_positions` is how
the original counts, kept for its preset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from data.errors import UserError, nearest

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

Counting = Literal["pieces", "words"]


def token_positions(tokenizer: CLIPTokenizer, prompt: str, phrase: str) -> list[list[int]]:
    """The token positions of each word of a phrase; position 0 is the start token.

    A word that the tokenizer cuts into pieces has several. The phrase is looked for as a whole
    first, then word by word; its first occurrence counts. UserError for a word that is not in the
    prompt, or that stands past the tokens which the text encoder reads.
    """
    words = phrase.split()
    if not words:
        raise UserError(f"an empty phrase has no place in the prompt '{prompt}'.")
    whole = _find(prompt, r"\s+".join(re.escape(word) for word in words))
    if whole:
        spans = [m.span() for m in re.finditer(r"\S+", prompt[whole.start() : whole.end()])]
        spans = [(a + whole.start(), b + whole.start()) for a, b in spans]
    else:
        spans = [_span(prompt, word, phrase) for word in words]
    offsets = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    positions = [
        [k for k, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        for start, end in spans
    ]
    read = tokenizer.model_max_length - 1  # the last is the end token
    for word, found in zip(words, positions, strict=True):
        if not found or max(found) >= read:
            raise UserError(
                f"the word '{word}' stands too far back in the prompt '{prompt}': the text encoder "
                f"reads {read - 1} tokens. Shorten the prompt."
            )
    return positions


def word_positions(prompt: str, phrase: str) -> list[list[int]]:
    """The same by counting words, as Layout-Guidance was released: pieces and commas do not count.

    Wrong for every word behind one that the tokenizer cuts. UserError as above.
    """
    counted = prompt.strip(".").split(" ")
    for word in phrase.split():
        if word not in counted:
            raise _absent(word, phrase, prompt, counted)
    return [[counted.index(word) + 1] for word in phrase.split()]


def _find(prompt: str, pattern: str) -> re.Match[str] | None:
    return re.search(rf"(?<!\w){pattern}(?!\w)", prompt, re.IGNORECASE)


def _span(prompt: str, word: str, phrase: str) -> tuple[int, int]:
    found = _find(prompt, re.escape(word))
    if not found:
        raise _absent(word, phrase, prompt, re.findall(r"\w+", prompt))
    return found.span()


def _absent(word: str, phrase: str, prompt: str, words: Sequence[str]) -> UserError:
    of = "" if word == phrase else f" of the phrase '{phrase}'"
    return UserError(
        f"the word '{word}'{of} is not in the prompt '{prompt}'.{nearest(word, words)} Every "
        "phrase of a layout must stand in its prompt."
    )
