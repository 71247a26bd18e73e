"""Text that somebody else wrote, made fit to be shown: names, messages, paths, what a game prints of itself.

    shown           on a terminal, and everywhere else: nothing that a terminal obeys or that nobody can see
    sentence        as a message: one line that is not too long

Names are shown as they are written; what has no letter of its own is spelled out as Python spells it: \\x1b, \\u202e.
"""

import re

LONGEST_SENTENCE = 500  # characters of a message
# Unicode calls these letters or marks (`str.isprintable`), and they take no place: fillers, joiners, selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def shown(text: str) -> str:
    """Return text on one line, with control, direction and zero-width characters spelled out: \\n, \\x1b, \\u202e."""
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(
        letter if letter.isprintable() and not _UNSEEN.match(letter) else letter.encode("unicode_escape").decode()
        for letter in text
    )


def cut(text: str, most: int) -> str:
    """Return text of at most `most` characters: of a longer one the beginning and the end."""
    if len(text) <= most:
        return text
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def sentence(text: str) -> str:
    """Return a message as it is printed: on one line, cut in its middle where it is long."""
    return cut(shown(text), LONGEST_SENTENCE)
