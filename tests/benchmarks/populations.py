"""Exploitability by training steps: populations of responses (PSRO) beside self-play, on one picture.

    python -m tests.benchmarks.populations --population RUN... --self-play RUN... --out leduc_psro.png

NashConv is exact, by the game's tree: of the mixture after each response, and of each checkpoint of a self-play run,
which must have been kept (`keep` at its default). Prints a Markdown table of the last and the lowest values.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import game_of, load_entrant
from marl.base import picture
from marl.evaluation.exploitability import nash_conv
from tournaments.populations.history import History

Curve = list[tuple[int, float]]  # steps, NashConv


def of_population(folder: Path) -> Curve:
    """Return the NashConv of each round's mixture, by the steps of all responses until then."""
    history = History.of(folder)
    steps = np.cumsum([member.step or 0 for member in history.members]).tolist()
    return [(steps[number], found["nash_conv"]) for number, found in enumerate(history.found)]


def of_self_play(folder: Path) -> Curve:
    """Return the NashConv of each checkpoint of a run."""
    spec = make(game_of(str(folder)), 1).spec
    found = []
    for path in sorted((folder / "checkpoints").glob("[0-9]*")):
        if path.suffix == "":
            agent = load_entrant(str(path), spec).agent
            found.append((checkpoint.read(path)["step"], nash_conv(agent, spec, 0, 2).nash_conv))
    return found


def draw(curves: dict[str, list[Curve]], out: Path) -> None:
    """Draw the curves of each method in its colour."""
    with picture.picture(out, 8.6, 4.4) as figure:
        axes = picture.curve_axes(figure, "Leduc poker", "exact NashConv; a line for each seed")
        picture.step_axis(axes)
        axes.set_ylabel("NashConv")
        lines = []
        for (_, several), ((style, _), colour) in zip(curves.items(), picture.looks(), strict=False):
            drawn = [axes.plot(*zip(*curve, strict=True), color=colour, linestyle=style)[0] for curve in several]
            lines.append(drawn[0])
        axes.set_ylim(bottom=0)
        picture.legend(figure, lines, list(curves))


def rows(curves: dict[str, list[Curve]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| method | run | steps | NashConv at the end | the lowest |"
    yield "| :-- | --: | --: | --: | --: |"
    for name, several in curves.items():
        for number, curve in enumerate(several):
            step, last = curve[-1]
            yield f"| {name} | {number} | {step:,} | {last:.3f} | {min(value for _, value in curve):.3f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw exploitability by training steps.")
    parser.add_argument("--population", nargs="*", type=Path, default=[])
    parser.add_argument("--self-play", nargs="*", type=Path, default=[])
    parser.add_argument("--out", type=Path, default=Path("exploitability.png"))
    options = parser.parse_args()
    both = {
        "PSRO": [of_population(folder) for folder in options.population],
        "self-play": [of_self_play(folder) for folder in options.self_play],
    }
    curves = {name: several for name, several in both.items() if several}
    draw(curves, options.out)
    print("\n".join(rows(curves)))
