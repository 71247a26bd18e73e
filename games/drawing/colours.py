"""The colours of drawings, by the names that stand in their classes, in light and in dark.

A shape has its light colours as attributes, so that a picture stands alone, and the classes `fill-NAME` and
`stroke-NAME`, by which the rules of `stylesheet` paint it otherwise on a dark page. Players have the colours of Okabe
and Ito (2008), which colour-blind people can tell apart.
"""

PLAYERS = ("p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7")

# name: (on a light page, on a dark page)
COLOURS = {
    "ground": ("#ffffff", "#15181b"),
    "board": ("#eef1f4", "#23282e"),
    "square": ("#d5dce3", "#343b43"),  # the darker squares of a board
    "frame": ("#5b6773", "#46505b"),  # around a board
    "empty": ("#ffffff", "#15181b"),
    "line": ("#9aa4af", "#5a636d"),
    "ink": ("#1f2429", "#e8eaec"),
    "faint": ("#66707a", "#97a1ab"),
    "wood": ("#ecd9b0", "#7d6a46"),
    "grain": ("#8d7447", "#3a3120"),  # lines on wood
    "felt": ("#8fb9a4", "#2f5a48"),
    "weave": ("#5f8a75", "#1f4033"),  # lines on felt
    "black": ("#1c2024", "#0b0d0f"),
    "white": ("#fcfcfc", "#f1f1f1"),
    "edge": ("#3c434a", "#000000"),  # around stones, pieces and cards
    "card": ("#ffffff", "#f4f4f4"),
    "back": ("#5b7f9c", "#3f5b72"),  # of a card
    "pip": ("#1c2024", "#1c2024"),  # on a card
    "red": ("#b3342b", "#b3342b"),
    "food": ("#6f8f00", "#93b51f"),
    "prey": ("#8a5a2b", "#b98556"),
    "shine": ("#ffffff", "#ffffff"),
    "last": ("#e69f00", "#f0b429"),  # marks the last move
    "value": ("#cc79a7", "#d990b8"),  # numbers on moves
    "p0": ("#0072b2", "#3a9bd6"),
    "p1": ("#d55e00", "#ee7f2d"),
    "p2": ("#009e73", "#1bb88b"),
    "p3": ("#cc79a7", "#d990b8"),
    "p4": ("#e69f00", "#f0b429"),
    "p5": ("#56b4e9", "#7cc7f0"),
    "p6": ("#6a3d9a", "#a07fc9"),
    "p7": ("#555555", "#a5a5a5"),
}


def of_player(player: int) -> str:
    """Return the name of a player's colour; they repeat after eight."""
    return PLAYERS[player % len(PLAYERS)]


def stylesheet() -> str:
    """Return CSS that paints drawings by the page's `prefers-color-scheme`."""
    light, dark = ("\n".join(_rules(mode)) for mode in (0, 1))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _rules(mode: int) -> list[str]:
    return [
        f".{what}-{name} {{ {what}: {colours[mode]}; }}"
        for name, colours in COLOURS.items()
        for what in ("fill", "stroke")
    ]
