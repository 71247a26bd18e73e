"""Recorded two-player zero-sum games as PGN, for chess programs and for rating tools such as Ordo and BayesElo.

The tags name the agents and say who won. White is player 0, but in OpenSpiel's chess player 1, who begins. The moves of
chess are written as in PGN (OpenSpiel's names of chess moves are standard algebraic notation); those of other games are
a comment, which such tools skip.
"""

import re
from collections.abc import Iterator

from games.contract import Spec
from games.errors import UserError
from games.references import layers
from games.text import shown
from tournaments.playback.moves import Playback
from tournaments.playback.recorded import Record

RESULTS = {1: "1-0", 0: "1/2-1/2", -1: "0-1", None: "*"}  # by White's outcome
TERMINATIONS = {  # of the tag Termination, by ours
    "finished": "normal",
    "truncated": "adjudication",
    "illegal_action": "rules infraction",
    "agent_error": "abandoned",
    "timeout": "time forfeit",
    "left": "abandoned",
    "resigned": "normal",
    "no_contest": "unterminated",
    "cut": "unterminated",
}
WIDTH = 79  # characters of a line of moves
_START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
_FEN = re.compile(r"[1-8pnbrqkPNBRQK/]+ [wb] [A-Ha-hKQkq-]+ [a-h1-8-]+ \d+ \d+")


def refuse(spec: Spec) -> None:
    """Raise UserError where a game has no place in PGN."""
    if spec.num_players != 2 or spec.payoff != "zero_sum":
        raise UserError(
            f"expected a two-player zero-sum game for PGN, got '{spec.name}' ({spec.num_players} players, "
            f"{spec.payoff}); --format json exports the games of every game"
        )


def is_chess(game: str) -> bool:
    """Return whether a reference names OpenSpiel's chess."""
    reference = layers(game)[0]
    return (reference.source, reference.name) == ("openspiel", "chess")


def pgn(record: Record, again: Playback) -> Iterator[str]:
    """Yield the lines of a game as PGN; a blank line follows."""
    game = record.game
    chess = is_chess(game.fixture.game)
    white, black = record.agents[::-1] if chess else record.agents
    won = record.outcome
    result = RESULTS[won if won is None or not chess else -won]
    tags = {
        "Event": game.fixture.game,
        "Site": "?",
        "Date": "????.??.??",
        "Round": "-",
        "White": white,
        "Black": black,
        "Result": result,
        "Termination": TERMINATIONS[game.termination],
        "PlyCount": str(game.length),
        "Seed": str(game.fixture.seed),
        "GameId": record.id,
    }
    start = again.steps[0].position if chess and again.steps else ""
    if _FEN.fullmatch(start) and start != _START:
        tags |= {"SetUp": "1", "FEN": start}
    for tag, value in tags.items():
        yield f'[{tag} "{_quoted(value)}"]'
    yield ""
    names = [name for step in again.steps for move in step.moves for name in [shown(move.name)]]
    if chess:
        words = [f"{number // 2 + 1}. {name}" if number % 2 == 0 else name for number, name in enumerate(names)]
    else:
        words = ["{", *(name.translate({ord("{"): "(", ord("}"): ")"}) for name in names), "}"] if names else []
    yield from _wrapped(" ".join([*words, result]))
    yield ""


def _quoted(text: str) -> str:
    return shown(text).replace("\\", "\\\\").replace('"', '\\"')


def _wrapped(text: str) -> Iterator[str]:
    """Yield lines of at most WIDTH characters; no line begins with a bracket, which would begin a tag."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > WIDTH and not word.startswith(("[", "%")):
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line
