"""Draw and solve a set of positions again: python -m games.solvers.positions.generate SET > connect_four_SET.csv

A position of a game is kept if the game reaches its ply without a four, neither player can make a four with its next
stone, neither the position nor its mirror image was drawn before, and some move does not keep the value. Games are
drawn for each ply until the set has its number of positions there. All draws are hashes of the ply, the game's number
and the move.

    thousand    random play: every move is uniform among the columns with room; as many positions of each difficulty
                at a ply. Two minutes with numba, an hour or two without.
    phases      play of mixed strength: each player of a game looks 0, 2, 4, 6 or 8 plies ahead, and plays a column that
                is best as far as it sees; one move in eight is random. The positions of a ply are the first ones that
                were drawn, whatever their difficulty. A position at ply 8 takes seconds with numba, minutes without.
    openings    the same play: every such position of plies 0 to 2, and the first ones drawn at 3 to 7. The earlier a
                position, the longer it takes.

The labels of `phases` were computed once by a second solver, a program in C++ (null windows over exact scores, where
`Solver` asks who can force a four); its values and depths of the thousand are the same as `Solver`'s, all of them.

Those of `openings` follow from the exact scores of all positions up to ply 8 in the opening book of a third solver
(https://github.com/benjaminrall/connect-four-ai). Each of its 38,203 scores up to ply 7 is the best of its moves', and
its scores of ply 8 agree with the second solver at the positions of `phases` and at 24 random ones.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

from games.keys import fold_one, stream, uniform_one
from games.solvers.connect_four import COLUMNS, Board, Solver, fours, keeping
from games.solvers.positions import DIFFICULTIES, HEADER, PHASES, Labelled

THOUSAND = 1000
LOOKS = (0, 2, 4, 6, 8)  # plies that a player of a game of mixed strength looks ahead
RANDOM = 1 / 8  # the share of its moves that are random
OPENINGS = {0: 1, 1: 3, 2: 20, 3: 60, 4: 80, 5: 80, 6: 80, 7: 80}  # positions of each ply of `openings`
SIZES = {"8": 40, "9-12": 400, "13-16": 400, "17-20": 200, "21-24": 200, "25-39": 400}  # of `phases`

# Draws of a game's key, beside one for each move.
LOOK = 100  # with the seat: how far the player looks ahead
SLIP = 200  # with the ply: whether the move is random


def quotas(name: str) -> dict[tuple[int, str], int]:
    """Return how many positions a set has of each ply and difficulty, '' for any: as equal as possible."""
    if name == "openings":
        return {(ply, ""): size for ply, size in OPENINGS.items()}
    if name == "phases":
        return {
            (ply, ""): size
            for phase, total in SIZES.items()
            for ply, size in zip(PHASES[phase], _split(total, len(PHASES[phase])), strict=True)
        }
    plies = range(13, 25)
    return {
        (ply, difficulty): part
        for ply, size in zip(plies, _split(THOUSAND, len(plies)), strict=True)
        for difficulty, part in zip(DIFFICULTIES, _split(size, len(DIFFICULTIES)), strict=True)
    }


def drawn(name: str, ply: int, solver: Solver) -> Iterator[tuple[str, Board]]:
    """Yield the distinct quiet positions that a set's games reach at this ply, without end."""
    games, play = {
        "thousand": ("connect four positions", play_randomly),
        "phases": ("phases", play_mixed),
        "openings": ("openings", play_mixed),
    }[name]
    key = fold_one(stream(0, games), ply)
    seen: set[Board] = set()
    for number in count():
        moves, board = play(fold_one(key, number), ply, solver)
        if board.ply == ply and board.quiet and board not in seen:
            seen |= {board, board.mirrored()}
            yield moves, board


def play_randomly(key: int, plies: int, solver: Solver | None = None) -> tuple[str, Board]:
    """Play a random game of `plies` moves, or up to the move before a four; return its moves and its position."""
    return _play(key, plies, _open)


def play_mixed(key: int, plies: int, solver: Solver) -> tuple[str, Board]:
    """Do the same with players who look ahead, each as far as it has drawn."""
    looks = [LOOKS[int(uniform_one(fold_one(key, LOOK + seat)) * len(LOOKS))] for seat in range(2)]

    def columns(moves: str, board: Board) -> list[int]:
        look = looks[board.ply % 2]
        if look == 0 or uniform_one(fold_one(key, SLIP + board.ply)) < RANDOM:
            return _open(moves, board)
        return sorted(keeping(solver.values(moves, look)))

    return _play(key, plies, columns)


def labelled(name: str, ply: int) -> Iterator[Labelled]:
    """Yield a set's positions of a ply, in the order in which they were drawn."""
    solver, wanted = Solver(), Counter({kind: size for (at, kind), size in quotas(name).items() if at == ply})
    for moves, _ in drawn(name, ply, solver):
        values = solver.values(moves)
        if len(keeping(values)) == sum(value is not None for value in values):
            continue
        position = Labelled(moves, values, solver.depth(moves))
        kind = position.difficulty if position.difficulty in wanted else ""
        if wanted[kind]:
            wanted[kind] -= 1
            yield position
        if not wanted.total():
            return


def _play(key: int, plies: int, columns: Callable[[str, Board], list[int]]) -> tuple[str, Board]:
    """Play moves that are uniform among the `columns` of a position, up to the move before a four."""
    moves, board = "", Board(0, 0)
    for ply in range(plies):
        choice = columns(moves, board)
        column = choice[int(uniform_one(fold_one(key, ply)) * len(choice))]
        if board.landing(column) & fours(board.own):
            break
        moves, board = f"{moves}{column}", board.play(column)
    return moves, board


def _open(moves: str, board: Board) -> list[int]:
    return [column for column in range(COLUMNS) if board.landing(column)]


def _split(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]


if __name__ == "__main__":
    print(HEADER)
    for ply in dict.fromkeys(ply for ply, _ in quotas(sys.argv[1])):
        for position in labelled(sys.argv[1], ply):
            print(position, flush=True)
