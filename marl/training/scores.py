"""Final scores of runs over one game or several, normalised game by game: what profiles and aggregates are made of.

A score is the last value of a metric, mapped so that LOW of its game becomes 0 and HIGH becomes 1. The runs that differ
by seed are one method's; a method has equally many runs at every game.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from games.arrays import Floats
from games.errors import UserError, nearest, written
from games.keys import stream
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrant
from marl.base.schema import load
from marl.evaluation.evaluate import evaluate_entrant
from marl.training.config import TrainConfig
from marl.training.curves import ALGORITHM, EVALUATED, UNITS, LoggedRun, panel_of, read_runs, refuse_against, runs_of
from marl.training.progress import RETURN
from marl.training.statistics import AGGREGATES, interval, profile

POINTS = 101  # places of a profile
SEEDS = 100  # of the games that measure random play

Number = dict[str, float | None]


@dataclass(frozen=True)
class Method:
    """The runs of one method at each game, in the order of their seeds."""

    label: str
    runs: dict[str, list[LoggedRun]]  # by game
    scores: Floats  # [S, G]

    def aggregates(self) -> dict[str, Number]:
        """Return every aggregate with its interval, null where the method has one run a game."""
        found = {}
        for name, statistic in AGGREGATES.items():
            bounds = interval(statistic, self.scores)
            low, high = (None, None) if bounds is None else map(float, bounds)
            found[name] = {"value": float(statistic(self.scores)), "low": low, "high": high}
        return found


@dataclass(frozen=True)
class Scores:
    """The scores of several methods at the same games."""

    metric: str
    against: dict[str, str | None]  # by game; None for a metric of training
    bounds: dict[str, tuple[float, float]]  # by game: the values that become 0 and 1
    methods: list[Method]

    @property
    def games(self) -> list[str]:
        return list(self.bounds)

    @property
    def title(self) -> str:
        """The metric, and the number of games."""
        games = self.games[0] if len(self.games) == 1 else f"{len(self.games)} games"
        return f"{games}: {UNITS.get(self.metric, self.metric)}, normalised"

    def places(self) -> Floats:
        """Return the scores at which profiles are drawn [X], from 0 or the lowest to 1 or the highest."""
        every = np.concatenate([method.scores.ravel() for method in self.methods])
        return np.linspace(min(0.0, every.min()), max(1.0, every.max()), POINTS)

    def to_json(self) -> dict[str, Any]:
        """Return the scores, their aggregates and their profiles as JSON data."""
        games = [
            {"game": game, "against": self.against[game], "low": low, "high": high}
            for game, (low, high) in self.bounds.items()
        ]
        at = self.places()
        methods = [
            {
                "label": method.label,
                "runs": {game: [str(run.folder) for run in runs] for game, runs in method.runs.items()},
                "scores": dict(zip(self.games, method.scores.T.round(9).tolist(), strict=True)),
                "aggregates": method.aggregates(),
                "profile": _profile(method.scores, at),
            }
            for method in self.methods
        ]
        return {"metric": self.metric, "games": games, "at": at.round(9).tolist(), "methods": methods}


def _profile(scores: Floats, at: Floats) -> dict[str, list[float] | None]:
    bounds = interval(lambda drawn: profile(drawn, at), scores)
    low, high = (None, None) if bounds is None else (bound.tolist() for bound in bounds)
    return {"share": profile(scores, at).tolist(), "low": low, "high": high}


def read_scores(
    folders: Sequence[Path],
    metric: str = "return",
    against: str | None = None,
    *,
    by: Sequence[str] = (ALGORITHM,),
    normalise: Sequence[str] = (),
) -> Scores:
    """Read the last values of runs, of populations or of sweeps, over all their games.

    `by` are the keys of configs whose values make a method. `normalise` are texts `GAME=LOW,HIGH`, where LOW may be
    `random`, what random play earns; by default a game's `return_bounds` are taken. Raises UserError where a method has
    no runs at a game, more at one than at another, or two with the same seed; where a game has no bounds; and as
    `curves.read` does.
    """
    refuse_against(metric, against)
    found: dict[str, dict[str, list[LoggedRun]]] = {}  # by method and game
    opponents: dict[str, str | None] = {}
    for path in {run.resolve(): run for folder in folders for run in runs_of(folder)}.values():
        config = load(TrainConfig, path / "config.yaml")
        if config.game not in opponents:
            panel = panel_of(path) if metric in EVALUATED else []
            opponents[config.game] = against or next(iter(panel), None)
        run = _one(read_runs(path, config, metric, opponents[config.game]), metric)
        found.setdefault(_label(run, by), {}).setdefault(config.game, []).append(run)
    every = [run for of_games in found.values() for runs in of_games.values() for run in runs]
    _refuse_unknown(by, every)
    given = _normalisations(normalise, opponents)
    runs = {game: [run for of_games in found.values() for run in of_games.get(game, ())] for game in opponents}
    bounds = {game: _bounds(game, metric, opponents[game], given.get(game), runs[game][0]) for game in opponents}
    methods = [_method(label, found[label], bounds) for label in sorted(found)]
    return Scores(metric, opponents, bounds, methods)


def _one(runs: dict[str, LoggedRun], metric: str) -> LoggedRun:
    """Return the run of a metric; raises UserError for the beginning of several."""
    if list(runs) != [metric]:
        raise UserError(
            f"expected one metric, got '{metric}', which is {len(runs)}; name one: '{metric}.{next(iter(runs))}'"
        )
    return runs[metric]


def _label(run: LoggedRun, by: Sequence[str]) -> str:
    """Return the name of a run's method: the values of the keys `by`, those that it has."""
    values = {key: run.config[key] for key in by if key in run.config}
    return ", ".join(str(v) if key == ALGORITHM else f"{key.split('.')[-1]}={v}" for key, v in values.items())


def _refuse_unknown(by: Sequence[str], runs: Sequence[LoggedRun]) -> None:
    """Raise UserError for a key that no run's config has, and for a run whose config has none of them."""
    known = dict.fromkeys(key for run in runs for key in run.config)
    for key in by:
        if key not in known:
            raise UserError(
                f"expected keys of the runs' configs as --by, got '{key}', which none of them has{nearest(key, known)}"
            )
    for run in runs:
        if not any(key in run.config for key in by):
            raise UserError(
                f"the config of '{run.folder}' has none of {', '.join(by)}; add --by with a key that it has"
            )


def _method(label: str, runs: dict[str, list[LoggedRun]], bounds: dict[str, tuple[float, float]]) -> Method:
    """Return a method with its normalised scores; raises UserError where games have different numbers of runs."""
    number = len(next(iter(runs.values())))
    for game in bounds:
        of_game = sorted(runs.get(game, ()), key=lambda run: run.seed)
        if len(of_game) != number:
            raise UserError(
                f"expected as many runs of '{label}' at each game, got {number} at '{next(iter(runs))}' and "
                f"{len(of_game)} at '{game}'; leave some out, or tell methods apart with --by"
            )
        for one, other in pairwise(of_game):
            if one.seed == other.seed:
                raise UserError(
                    f"'{one.folder}' and '{other.folder}' are both runs of '{label}' with the seed {one.seed}"
                    f"{_apart(one, other)}"
                )
        runs[game] = of_game
    scores = [[(run.value[-1] - low) / (high - low) for run in runs[game]] for game, (low, high) in bounds.items()]
    return Method(label, {game: runs[game] for game in bounds}, np.array(scores).T)


def _apart(one: LoggedRun, other: LoggedRun) -> str:
    """Return what to do about two runs of one method with one seed."""
    differing = [key for key in one.config if key in other.config and one.config[key] != other.config[key]]
    return f"; tell them apart with --by {ALGORITHM} --by {differing[0]}" if differing else "; leave one out"


def _normalisations(texts: Sequence[str], games: Iterable[str]) -> dict[str, tuple[float | None, float]]:
    """Read `GAME=LOW,HIGH` for several games; raises UserError for one that no run plays, or that is given twice."""
    given: dict[str, tuple[float | None, float]] = {}
    for game, values in map(_normalisation, texts):
        if game not in games:
            raise UserError(f"--normalise names a game that no run plays, '{game}'{nearest(game, games)}")
        if game in given:
            raise UserError(f"expected --normalise once for each game, got '{game}' twice; leave one out")
        given[game] = values
    return given


def _normalisation(text: str) -> tuple[str, tuple[float | None, float]]:
    """Read `GAME=LOW,HIGH`, where LOW may be `random` (None); raises UserError for anything else."""
    game, equals, numbers = text.rpartition("=")
    low, comma, high = (part.strip() for part in numbers.partition(","))
    try:
        if not equals or not comma:
            raise ValueError
        found = None if low == "random" else float(low), float(high)
        if not np.isfinite([0 if found[0] is None else found[0], found[1]]).all():
            raise ValueError
    except ValueError:
        raise UserError(
            f"expected --normalise GAME=LOW,HIGH with two numbers, or `random` as LOW, got {written(text)}"
        ) from None
    return game.strip(), found


def _bounds(
    game: str, metric: str, against: str | None, given: tuple[float | None, float] | None, run: LoggedRun
) -> tuple[float, float]:
    """Return the values of a game that become 0 and 1; raises UserError where nothing says them or they do not rise."""
    if given is None:
        given = _return_bounds(run.folder) if metric.partition(".")[0] in ("return", RETURN) else None
        if given is None:
            raise UserError(
                f"nothing says which values of '{metric}' at '{game}' are 0 and 1; add --normalise '{game}=LOW,HIGH'"
            )
    low = _random_play(game, metric, against) if given[0] is None else given[0]
    if not low < given[1]:
        raise UserError(
            f"expected LOW below HIGH for '{game}', got {low:g} and {given[1]:g}; name others by --normalise"
        )
    return low, given[1]


def _return_bounds(folder: Path) -> tuple[float, float] | None:
    """Return the bounds of returns that the Spec in a run's newest checkpoint has."""
    newest = checkpoint.newest(folder)
    bounds = checkpoint.read(newest)["spec"].get("return_bounds") if newest else None
    return tuple(bounds) if bounds else None


def _random_play(game: str, metric: str, against: str | None) -> float:
    """Return the mean return of random play at a game that the user has typed, against the same opponent."""
    if metric != "return" or against not in ("random", "self"):
        raise UserError(
            f"`random` as LOW is measured for `return` against random or self, and this is '{metric}' against "
            f"{against or 'nobody'}; type a number"
        )
    venv = make(game, 64)
    player = load_entrant("random", venv.spec)
    other = player if against == "random" else None
    return float(np.mean(evaluate_entrant(venv, player, other, seeds=SEEDS, key=stream(0, "evaluation")).return_mean))


def labels(methods: Iterable[Method]) -> list[str]:
    """Return the names of methods with the number of their runs a game."""
    return [f"{method.label} ({len(method.scores)} run{'s'[: len(method.scores) > 1]} a game)" for method in methods]
