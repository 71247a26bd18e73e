"""Who meets whom in a round of a Swiss tournament: neighbours in the standings that have not met."""

from collections import deque
from collections.abc import Callable, Collection, Sequence


def pair_neighbours(places: int, met: Callable[[int, int], int]) -> list[tuple[int, int]]:
    """Return pairs of an even number of places of the standings, the best place first.

    The first place gets the nearest opponent for which the others can still be paired well, then the next place. As few
    pairs as possible have met before, by a maximum matching of those that have not, so that none has where that can be
    avoided; of several that have, those that met least often meet.
    """
    free, gone, pairs = list(range(places)), set[int](), []
    fresh = [[j for j in free if j != i and met(min(i, j), max(i, j)) == 0] for i in free]
    mate = largest_matching(fresh)
    while free:
        first, *others = free
        for other in sorted(others, key=lambda j: (met(first, j), j)):
            left = _without((first, other), fresh, mate, gone)
            if size_of(left) + (other in fresh[first]) == size_of(mate):
                break
        pairs.append((first, other))
        gone |= {first, other}
        free, mate = [place for place in others if place != other], left
    return pairs


def largest_matching(near: Sequence[Sequence[int]]) -> list[int]:
    """Return a largest matching of a graph whose nodes have the neighbours `near`: each one's mate, or -1 without one.

    By augmenting paths, with blossoms (Edmonds 1965, https://doi.org/10.4153/CJM-1965-045-4).
    """
    mate = [-1] * len(near)
    for v, neighbours in enumerate(near):  # most of a dense graph is matched at once
        if mate[v] < 0:
            w = next((w for w in neighbours if mate[w] < 0), None)
            if w is not None:
                mate[v], mate[w] = w, v
    for v in range(len(near)):
        if mate[v] < 0:
            _augment(v, near, mate, ())
    return mate


def size_of(mate: Sequence[int]) -> int:
    """Return the number of pairs of a matching."""
    return sum(w >= 0 for w in mate) // 2


def _without(pair: tuple[int, int], near: Sequence[Sequence[int]], mate: Sequence[int], gone: set[int]) -> list[int]:
    """Return a largest matching without a pair of nodes, by one without those that are `gone`.

    Only the former mates of the pair can begin a path that augments what is left.
    """
    left = list(mate)
    widowed = [left[node] for node in pair if left[node] >= 0 and left[node] not in pair]
    for node in (*pair, *widowed):
        left[node] = -1
    for node in widowed:
        if left[node] < 0:
            _augment(node, near, left, gone.union(pair))
    return left


def _augment(root: int, near: Sequence[Sequence[int]], mate: list[int], gone: Collection[int]) -> None:
    """Change `mate` along an augmenting path from a node, if there is one past the nodes that are `gone`."""
    n = len(near)
    parent, base, outer = [-1] * n, list(range(n)), [False] * n
    outer[root] = True
    queue = deque([root])

    def common(a: int, b: int) -> int:
        """Return the base where the paths of two nodes to the root meet."""
        seen = set()
        while True:
            a = base[a]
            seen.add(a)
            if mate[a] < 0:
                break
            a = parent[mate[a]]
        while base[b] not in seen:
            b = parent[mate[base[b]]]
        return base[b]

    def mark(node: int, stem: int, child: int, blossom: set[int]) -> None:
        """Put the path from a node to the stem into a blossom, and let it lead back through `child`."""
        while base[node] != stem:
            blossom |= {base[node], base[mate[node]]}
            parent[node] = child
            child = mate[node]
            node = parent[mate[node]]

    while queue:
        v = queue.popleft()
        for w in near[v]:
            if base[v] == base[w] or mate[v] == w or w in gone:
                continue
            if w == root or (mate[w] >= 0 and parent[mate[w]] >= 0):  # an odd cycle
                stem, blossom = common(v, w), set[int]()
                mark(v, stem, w, blossom)
                mark(w, stem, v, blossom)
                for node in range(n):
                    if base[node] in blossom:
                        base[node] = stem
                        if not outer[node]:
                            outer[node] = True
                            queue.append(node)
            elif parent[w] < 0:
                parent[w] = v
                if mate[w] < 0:
                    while w >= 0:  # swap along the path
                        v = parent[w]
                        following = mate[v]
                        mate[v], mate[w] = w, v
                        w = following
                    return
                outer[mate[w]] = True
                queue.append(mate[w])
