"""Which tokens a prompt's words are, in the prompt's padded sequence (Hertz et al. 2022).

Not :mod:`methods.token_positions`, which finds a layout's phrases. Here prompts are aligned word by
word, so all words of a prompt have their tokens, as the released program deals them out: words are
what stands between single spaces, punctuation and case count, a word is meant wherever it stands,
and where the tokenizer writes a piece longer or shorter than the prompt has it, later words shift.
Tensors recorded from the original hold this file to those rules; an edit that names "star," means
the comma too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from data.errors import UserError, nearest

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


@dataclass(frozen=True)
class Prompt:
    """A prompt and its tokens: ids from begin to end of text, without padding, and their text.

    A prompt that is too long for the backbone's sequence lacks its last words' tokens.
    """

    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    length: int  # of the padded sequence

    @cached_property
    def words(self) -> list[str]:
        """Split at single spaces; punctuation stays with its word."""
        return self.text.split(" ")

    @cached_property
    def word_tokens(self) -> list[list[int]]:
        """For each word, the positions of its pieces in the sequence.

        Pieces are handed out in order until they are as long as the word.
        """
        found: list[list[int]] = [[] for _ in self.words]
        word = length = 0
        for position, piece in enumerate(self.pieces[1:-1], start=1):
            found[word].append(position)
            length += len(piece.strip("#"))
            if length >= len(self.words[word]):
                word, length = min(word + 1, len(found) - 1), 0
        return found

    def tokens_of(self, word: str) -> list[int]:
        """Positions of a word's pieces wherever it stands; :class:`UserError` if nowhere."""
        if word not in self.words:
            raise UserError(
                f"the word '{word}' is not in the prompt '{self.text}'."
                f"{nearest(word, self.words)} Words are what stands between spaces, with their "
                "punctuation; name one of them."
            )
        pairs = zip(self.words, self.word_tokens, strict=True)
        found = [position for other, tokens in pairs if other == word for position in tokens]
        if not found:
            raise UserError(
                f"the word '{word}' has no token: the backbone reads {self.length} tokens of "
                f"'{self.text}'; shorten the prompt."
            )
        return found

    def tokens_of_all(self, words: Sequence[str]) -> list[int]:
        """Positions of several words, each once."""
        return list(dict.fromkeys(p for word in words for p in self.tokens_of(word)))


def read_prompt(tokenizer: CLIPTokenizer, text: str) -> Prompt:
    """A prompt as a backbone's tokenizer cuts it."""
    length = tokenizer.model_max_length
    ids = tokenizer(text, truncation=True, max_length=length).input_ids
    return Prompt(text, tuple(ids), tuple(tokenizer.decode([token]) for token in ids), length)
