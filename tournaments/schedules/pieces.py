"""Fixtures in pieces, which are played and stored together: few agents with many games each."""

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby

from tournaments.records.fixture import Block, Fixture


def by_pairing(fixtures: Iterable[Fixture], apart: Collection[str] = ()) -> list[Block]:
    """Return fixtures in blocks, one for each pairing, in their order; those with agents of `apart` come last."""
    blocks: dict[tuple[str, ...], Block] = {}
    for fixture in fixtures:
        blocks.setdefault(fixture.pairing, []).append(fixture)
    return sorted(blocks.values(), key=lambda block: [agent for agent in block[0].pairing if agent in apart])


def batches(blocks: Iterable[Block], size: int, apart: Collection[str] = ()) -> Iterator[Block]:
    """Join and cut blocks to pieces of at most `size` fixtures that are played and stored together, each of few agents.

    An agent decides at once for all of its games in a piece: few agents with many games each are faster than many with
    few. A piece holds games of one company of agents of `apart` only.
    """
    apart = frozenset(apart)
    for _, blocks_of_company in groupby(filter(None, blocks), lambda block: apart.intersection(block[0].agents)):
        piece: Block = []
        for block in blocks_of_company:
            if len(piece) + len(block) <= size:
                piece += block
                continue
            whole = [piece, *(block[start : start + size] for start in range(0, len(block), size))]
            piece = whole.pop()
            yield from filter(None, whole)
        yield piece
