"""Who meets whom in a round of a Swiss tournament: neighbours in the standings that have not met."""

from collections import deque
from collections.abc import Callable, Sequence


def pair_neighbours(places: int, met: Callable[[int, int], int]) -> list[tuple[int, int]]:
    """Return pairs of an even number of places of the standings, the best place first.

    The first place gets the nearest opponent for which the others can still be paired well, then the next place. As few
    pairs as possible have met before, by a maximum matching of those that have not, so that none has where that can be
    avoided; of several that have, those that met least often meet.
    """
    free, pairs = list(range(places)), []
    fresh = {(i, j): met(i, j) == 0 for i in free for j in free if i < j}
    most = largest_matching(free, fresh)
    while free:
        first, *others = free
        for other in sorted(others, key=lambda j: (met(first, j), j)):
            rest = [place for place in others if place != other]
            left = most - fresh[first, other]
            if left <= len(rest) // 2 and largest_matching(rest, fresh) == left:
                break
        pairs.append((first, other))
        free, most = rest, left
    return pairs


def largest_matching(nodes: Sequence[int], joined: dict[tuple[int, int], bool]) -> int:
    """Return the size of the largest matching of a graph: by augmenting paths, with blossoms (Edmonds 1965).

    `joined` says for i < j whether an edge joins them. (https://doi.org/10.4153/CJM-1965-045-4)
    """
    n = len(nodes)
    near = [
        [w for w in range(n) if w != v and joined[min(nodes[v], nodes[w]), max(nodes[v], nodes[w])]] for v in range(n)
    ]
    mate = [-1] * n
    for v in range(n):  # most of a dense graph is matched at once
        if mate[v] < 0:
            w = next((w for w in near[v] if mate[w] < 0), None)
            if w is not None:
                mate[v], mate[w] = w, v
    for v in range(n):
        if mate[v] < 0:
            _augment(v, near, mate)
    return sum(w >= 0 for w in mate) // 2


def _augment(root: int, near: Sequence[Sequence[int]], mate: list[int]) -> None:
    """Change `mate` along an augmenting path from a node, if there is one."""
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
            if base[v] == base[w] or mate[v] == w:
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
