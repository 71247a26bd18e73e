"""The errors that a user sees, as one sentence each.

Exception
└── UserError          what was expected, what came, what to do; exit code 2, nothing was written
    └── RunFailed      a run that broke on its way; exit code 1, what it had saved is kept
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Report bad input: expected, got, remedy, in one sentence."""

    exit_code = 2


class RunFailed(UserError):
    """Report a run that broke on its way; its last checkpoint is kept."""

    exit_code = 1


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known word, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""
