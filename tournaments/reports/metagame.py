"""The meta-game of a two-player tournament in its report: whether Elo means anything, and what does instead."""

from collections.abc import Iterator, Sequence

import numpy as np

from games.arrays import Floats
from marl.base.intervals import MIN_SEEDS
from tournaments.ratings.melo import HeldOut
from tournaments.ratings.metagame import IN_SUPPORT, MOST_RESAMPLED, Metagame
from tournaments.reports.pairs import MOST_SHOWN, written
from tournaments.reports.sections import Section, Table
from tournaments.reports.summary import Summary, listed

MOST_NAMED = 5  # agents of a solution on the terminal


def metagame_lines(summary: Summary) -> Iterator[str]:
    """Yield the lines of a terminal: one for each solution."""
    if summary.transitivity and summary.transitivity.p is not None and not summary.transitivity.misleading:
        yield summary.transitivity.sentence
    game = summary.metagame
    if game is None or len(game.agents) < 3:
        return
    if game.zero_sum:
        yield f"Nash averaging: {_named(game, game.solved.nash)}."
    yield f"α-rank: {_named(game, game.solved.alpha_rank)}."


def metagame_section(summary: Summary) -> Iterator[Section]:
    """Yield the section of a report; none where a game has no meta-game of two players."""
    if summary.transitivity is None and summary.metagame is None and summary.no_metagame is None:
        return
    game, texts = summary.metagame, []
    if summary.transitivity:
        texts.append(summary.transitivity.sentence)
        if summary.transitivity.curl is not None:
            texts.append(
                f"Cycles are {100 * summary.transitivity.curl:.0f} % of the squares of the pairs' log-odds, the noise "
                "of few games included (curl fraction)."
            )
    if summary.held_out:
        texts.append(_compared(summary.held_out))
    if game is None:
        texts.append(summary.no_metagame or "")
        yield Section("meta-game", "Meta-game", texts)
        return
    tables = [_solutions(game), _best_responses(game)]
    remarks = [*_remarks(game), *([_responses(summary)] if game.zero_sum else [])]
    yield Section("meta-game", "Meta-game", texts, tables, remarks)


def _solutions(game: Metagame) -> Table:
    names = {"alpha_rank": "α-rank"} | ({"nash": "Nash weight", "rating": "Nash rating"} if game.zero_sum else {})
    rows = [[agent, *(_bounded(game, name, k) for name in names)] for k, agent in enumerate(game.agents[:MOST_SHOWN])]
    more = f" The first {MOST_SHOWN} of {len(game.agents)} agents." if len(game.agents) > MOST_SHOWN else ""
    caption = f"Each player chooses an agent, and is paid what it earns per {game.unit}.{more}"
    return Table(["agent", *names.values()], rows, caption)


def _best_responses(game: Metagame) -> Table:
    rows = [
        [agent, listed(game.best_responses[k], 2), written(game.gain[k])]
        for k, agent in enumerate(game.agents[:MOST_SHOWN])
    ]
    titles = ["agent", "best response in the pool", f"which gains, per {game.unit}"]
    return Table(titles, rows, "If everybody else plays the agent, its best response gains so much.")


def _bounded(game: Metagame, name: str, k: int) -> str:
    value = written(getattr(game.solved, name)[k])
    if game.interval is None:
        return value
    low, high = (written(getattr(end, name)[k]) for end in game.interval)
    return f"{value} ({low} to {high})"


def _remarks(game: Metagame) -> Iterator[str]:
    yield (
        "α-rank (Omidshafiei et al. 2019) is the share of time that evolution under strong selection plays an agent: "
        "only who earns more counts, and copies of an agent change it."
    )
    if game.zero_sum:
        yield (
            "Nash averaging (Balduzzi et al. 2018): the weights are the equilibrium of maximal entropy, where copies "
            "of an agent share one weight; the rating is what an agent earns against it: at most 0, and 0 in it."
        )
    if game.interval:
        yield "In brackets: the 95 % percentile bootstrap over seeds. Solutions jump where payoffs are nearly equal."
    elif len(game.agents) > MOST_RESAMPLED:
        yield f"Without intervals: the game is solved again for resampled seeds with up to {MOST_RESAMPLED} agents."
    else:
        yield f"Without intervals: the bootstrap over seeds needs {MIN_SEEDS} seeds."


def _responses(summary: Summary) -> str:
    """Return how to learn how far an agent can be exploited."""
    exact = (
        f" Exact, in a small game that hides something: marl evaluate AGENT --game '{summary.game}' --nash-conv."
        if summary.game.startswith("openspiel:")
        else ""
    )
    return (
        "What the best response in the pool gains is a lower bound on how far an agent can be exploited. A response "
        f"that is trained may gain more, and is a lower bound, too: marl tournament best-response STORE AGENT.{exact}"
    )


def _compared(losses: HeldOut) -> str:
    """Return how well a model with cycles predicts seeds that it was not fitted to."""
    verdict = "better than" if losses.gain.mean > losses.gain.interval else "no better, as far as is known, than"
    half = f" ± {losses.gain.interval:.4f}" if np.isfinite(losses.gain.interval) else ""
    return (
        f"mElo, ratings with one cycle (Balduzzi et al. 2018), predicts seeds that it was not fitted to {verdict} Elo "
        f"does: a log-loss of {losses.melo:.4f} a game against {losses.davidson:.4f}, a gain of {losses.gain.mean:.4f}"
        f"{half}."
    )


def _named(game: Metagame, share: Floats) -> str:
    """Return the agents with the largest shares [n], and their shares."""
    order: Sequence[int] = np.argsort(-share, kind="stable").tolist()
    shown = [f"{game.agents[k]} {share[k]:.2f}" for k in order if share[k] >= IN_SUPPORT]
    return listed(shown, MOST_NAMED)
