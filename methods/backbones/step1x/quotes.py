"""Text in quotes is read letter by letter, as the released encoder has it, so that it can be spelt.

The character positions are those of the templated text: quotes among its first 156 characters, in
the prompt's own preamble, open nothing. An apostrophe counts as a quote, as released.
"""

from __future__ import annotations

FIRST = 156  # a quote before this position is an ordinary character
QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d'", '"'))


def split_quoted(text: str) -> list[str]:
    """Pieces to be tokenised apart; letters between quotes come in curly quotes, one each.

    An opening quote ends its piece, a closing one begins the next.
    """
    pieces, piece, inside = [], "", False
    for position, letter in enumerate(text.translate(QUOTES)):
        if letter == '"' and position >= FIRST:
            piece += letter
            if not inside:
                pieces.append(piece)
                piece = ""
            inside = not inside
        elif inside:
            pieces.append(f"\u201c{letter}\u201d")
        else:
            piece += letter
    return pieces + [piece] if piece else pieces
