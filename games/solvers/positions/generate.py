"""Draw and solve the positions again: python -m games.solvers.positions.generate > connect_four.csv

In random play every move is uniform among the columns with room, drawn by a hash of the ply, the game's number and the
move. A game's position is kept if the game reaches the ply without a four, neither player can make a four with its next
stone, neither the position nor its mirror image was drawn before, and some move does not keep the value. Games are
drawn until each ply has its number of positions of each difficulty. This takes two minutes with numba, an hour or two
without.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import count

from games.keys import fold_one, stream, uniform_one
from games.solvers.connect_four import COLUMNS, Board, Solver, fours, keeping
from games.solvers.positions import DIFFICULTIES, HEADER, PHASES, Labelled

TOTAL = 1000


def quotas() -> dict[tuple[int, str], int]:
    """Return the number of positions of each ply and difficulty: as equal as possible, the first ones larger."""
    plies = [ply for phase in PHASES.values() for ply in phase]
    sizes = dict(zip(plies, _split(TOTAL, len(plies)), strict=True))
    return {
        (ply, difficulty): part
        for ply, size in sizes.items()
        for difficulty, part in zip(DIFFICULTIES, _split(size, len(DIFFICULTIES)), strict=True)
    }


def drawn(ply: int) -> Iterator[tuple[str, Board]]:
    """Yield the distinct quiet positions that random games reach at this ply, without end."""
    key = fold_one(stream(0, "connect four positions"), ply)
    seen: set[Board] = set()
    for number in count():
        moves, board = play(fold_one(key, number), ply)
        if board.ply == ply and board.quiet and board not in seen:
            seen |= {board, board.mirrored()}
            yield moves, board


def play(key: int, plies: int) -> tuple[str, Board]:
    """Play a random game of `plies` moves, or up to the move before a four; return its moves and its position."""
    moves, board = "", Board(0, 0)
    for ply in range(plies):
        open_columns = [column for column in range(COLUMNS) if board.landing(column)]
        column = open_columns[int(uniform_one(fold_one(key, ply)) * len(open_columns))]
        if board.landing(column) & fours(board.own):
            break
        moves, board = f"{moves}{column}", board.play(column)
    return moves, board


def labelled(ply: int) -> Iterator[Labelled]:
    """Yield the positions of a ply, in the order in which they were drawn."""
    solver, wanted = Solver(), Counter({kind: size for (at, kind), size in quotas().items() if at == ply})
    for moves, _ in drawn(ply):
        values = solver.values(moves)
        if len(keeping(values)) == sum(value is not None for value in values):
            continue
        position = Labelled(moves, values, solver.depth(moves))
        if wanted[position.difficulty]:
            wanted[position.difficulty] -= 1
            yield position
        if not wanted.total():
            return


def _split(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]


if __name__ == "__main__":
    print(HEADER)
    for ply in dict.fromkeys(ply for ply, _ in quotas()):
        for position in labelled(ply):
            print(position, flush=True)
