"""A trained best response to an agent of a tournament: a lower bound on how far the agent can be exploited.

    gain_s    u_s(the response in seat s, the agent in all others) − u_s(the agent in all seats)

In a game of team against team s is a team, and u_s what it is paid.

Several responses are trained, each by a seed of its own and in all seats, and each is a unit of work. On some seeds the
one that earns the most in a seat is chosen, of those whose policy is sampled and those that play its mode; what it
gains is measured on other seeds, so that the choice does not make it look better. The best response gains at least as
much as any response: in a game of two players that is zero-sum, the agent's exploitability is at least the mean of the
gains over the seats.

    responses/responses.json          what each search found, by agent
    responses/<agent>/<unit>/         a response: a run like any other
    responses/journal.jsonl           the units of work that are done
    responses/games.sqlite            the games of responses, which no rating counts
"""

import inspect
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from games.arrays import Floats
from games.contract import Spec
from games.errors import RunFailed, UserError
from games.registry import from_file, make
from marl.agents.entrants import Identity
from marl.agents.load import identify
from marl.base import engine as engines
from marl.base import lock
from marl.base.files import refuse_links, write_text
from marl.base.intervals import Estimate, estimate
from marl.base.origin import Origin, typed
from marl.base.parcels import Reads, Writes
from marl.base.schema import build
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Journal, Unit, work
from marl.learning.registry import algorithm
from marl.training.config import TrainConfig
from marl.training.population import stands
from marl.training.train import check
from tournaments.newcomer import config_of, still_here
from tournaments.playback.recorded import agent_of
from tournaments.playing.play import play_into
from tournaments.populations.training import against, train_unit, unit_of
from tournaments.records.fixture import Fixture, seeds_of
from tournaments.records.played import NO_RESULT
from tournaments.records.store import stored
from tournaments.reports.responses import FOLDER, RESULT, Search, searches_in, with_search
from tournaments.tournament import TournamentConfig, entry_of, open_store

SHORT = 12  # digits of digests in names
ELSEWHERE = "copy the tournament's folder and answer the copy's agents"  # where another process searches in it
# What the search sets itself, since it makes a run the training of a response.
_DECIDED = {
    "game": "the tournament's",
    "opponents": "the agent that a response answers",
    "steps": "what --steps says",
}


@dataclass(frozen=True)
class Budget:
    """What a search for a best response may cost."""

    steps: int = 200_000  # of each response
    seeds: int = 3  # responses that are trained
    games: int = 200  # seeds of games by which they are chosen, and as many by which the gain is measured
    sets: Sequence[str] = ()  # settings of their training, as `marl train --set` takes them
    workers: int | None = None  # those of the tournament by default


@dataclass(frozen=True)
class Response:
    """A response that was trained: its reference, its digest, and what it gains in the mean over the seats."""

    reference: str
    digest: str
    gain: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"response": self.reference, "digest": self.digest, "gain": _json(self.gain)}


@dataclass(frozen=True)
class Found:
    """What a search found: what its responses to an agent earn a game, means over the seats and by seat."""

    agent: str
    algorithm: str
    trained: int
    steps: int
    seeds: int  # of the games that measured it
    alone: Estimate  # the agent among copies of itself
    earned: Estimate  # the chosen response among copies of the agent
    gain: Estimate
    seats: Sequence[tuple[str, Estimate]]  # the reference of the response that was chosen, and its gain
    responses: Sequence[Response]  # all that were trained, those that play their mode included

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data; an infinite interval is null."""
        numbers = {"alone": self.alone, "earned": self.earned, "gain": self.gain}
        return {
            "agent": self.agent,
            "algorithm": self.algorithm,
            "trained": self.trained,
            "steps": self.steps,
            "seeds": self.seeds,
            **{name: _json(number) for name, number in numbers.items()},
            "seats": [{"response": response, "gain": _json(gain)} for response, gain in self.seats],
            "responses": [response.to_json() for response in self.responses],
        }


def best_response(
    path: Path, text: str, budget: Budget, console: Terminal, trusted: Collection[str] = ()
) -> list[Search]:
    """Train responses to an agent of a tournament's store, measure what they gain, and record it beside the store.

    Return what all searches for responses to the agent found, this one at the end; the largest gain is the bound
    (`tournaments.reports.responses.bound`). What is done is not done again: a command that was killed goes on, and
    another budget trains what it lacks. Raises UserError, with nothing written, for a store without its config, an
    agent that is not there, has changed or is code that is not trusted, a game of one player, and settings that do not
    fit.
    """
    with stored(path) as opened:
        folder = opened.path.parent
        config = config_of(folder)
        if config.game not in trusted:
            from_file(config.game, f"if you trust it, type it yourself: --trust '{config.game}'")
        spec = make(config.game, 1).spec
        if spec.num_players == 1:
            raise UserError(f"'{spec.name}' is a game of one player, whom nobody answers; take another tournament")
        digest = agent_of(opened, text)
        (known,) = (agent for agent in opened.agents() if agent.id == digest)
        agent = still_here(known, opened, spec, trusted)
        agent.refuse_beside_others()
    if budget.workers is not None:
        config = config.model_copy(update={"workers": budget.workers})
    engines.require(config.engine)
    training = training_of(config.game, agent, budget)
    check(training, agents={agent.digest: agent.reference})
    refuse_links(folder / FOLDER, folder / FOLDER / RESULT, folder / FOLDER / JOURNAL)
    with lock.held(folder / FOLDER, "best responses", ELSEWHERE), engines.kept(config.engine, folder / FOLDER):
        searches = searches_in(folder)  # before the work: a damaged file is said at once
        responses = _train(config, training, agent, budget, folder / FOLDER, console)
        found = _measured(config, spec, agent, responses, training, budget, folder / FOLDER)
        searches[agent.digest] = with_search(searches.get(agent.digest, ()), found.to_json())
        try:
            write_text(folder / FOLDER / RESULT, json.dumps({"agents": searches}, indent=1) + "\n")
        except OSError as error:
            raise RunFailed(f"expected to write to '{folder}', got '{error}'; make room, and run again") from error
    return searches[agent.digest]


def training_of(game: str, agent: Identity, budget: Budget) -> TrainConfig:
    """Return the training of a response, of seed 0; raises UserError for settings that do not fit."""
    data = {
        "game": game,
        "algorithm": "ippo",
        "steps": budget.steps,
        "stretch": budget.steps,
        "keep": 1,
        "writers": [],
        "opponents": against({agent.digest: 1.0}),
        "evaluation": {"panel": []},
    }
    changes = typed(budget.sets, decided=_DECIDED)
    return build(TrainConfig, Origin("the options", data, changes=tuple(changes)))


def _train(
    config: TournamentConfig, training: TrainConfig, agent: Identity, budget: Budget, folder: Path, console: Terminal
) -> list[str]:
    """Train the responses that are missing; return the references of all, those that play their mode included."""
    journal, tasks = Journal(folder / JOURNAL), dict[Unit, tuple[Any, ...]]()
    for seed in range(budget.seeds):
        one = training.model_copy(update={"seed": training.seed + seed})
        unit = unit_of(agent.digest[:SHORT], one)
        run = f"{agent.digest[:SHORT]}/{unit.id[:SHORT]}"
        agents = {agent.digest: Reads(agent.reference)}
        tasks[unit] = (one.model_dump(mode="json"), Writes(folder, run), run, agents, "cpu")
    journal.drop(unit for unit in tasks if unit in journal and not stands(folder, journal.output(unit)))
    left = sum(unit not in journal for unit in tasks)
    console.print(f"{folder}: responses to '{agent.name}': {len(tasks)}, to be trained: {left}")
    made = work(journal, tasks, train_unit, config.workers, config.engine)
    kept = [str(folder / made[unit.id]["checkpoint"]) for unit in tasks]
    options = inspect.signature(algorithm(training.algorithm["name"], typed=True).load_agent).parameters
    return [*kept, *(f"{each}(greedy=true)" for each in kept)] if "greedy" in options else kept


def _measured(
    config: TournamentConfig,
    spec: Spec,
    agent: Identity,
    responses: Sequence[str],
    training: TrainConfig,
    budget: Budget,
    folder: Path,
) -> Found:
    """Play the games that are missing, and return what the best of the responses gains."""
    entered = [agent, *{each.digest: each for each in identify(responses, spec)}.values()]
    played = TournamentConfig(
        game=config.game,
        agents=tuple(each.reference for each in entered),
        seeds=2 * budget.games,
        seed=config.seed,
        opening_moves=config.opening_moves,
        max_steps=config.max_steps,
        num_envs=config.num_envs,
        engine=config.engine,
        workers=config.workers,
    )
    rules = entry_of(played, spec, entered).rules
    tables = [
        (who, side, Fixture(config.game, _seated(who, agent, side, spec), key, rules.opening_moves, rules.max_steps))
        for key in seeds_of(config.seed, range(played.seeds))
        for who in entered
        for side in range(spec.sides)
    ]
    with open_store(played, spec, entered, folder) as store:
        play_into(
            store,
            config.game,
            {each.digest: each.reference for each in entered},
            list({fixture.id: fixture for _, _, fixture in tables}.values()),
            num_envs=config.num_envs,
            workers=config.workers,
            engine=config.engine,
            decision_seconds=config.decision_seconds,
        )
        paid = {
            game.fixture.id: spec.by_side(np.array(game.payoffs))
            for game in store.games([each.digest for each in entered])
            if game.termination not in NO_RESULT
        }
    earned = np.array([paid[fixture.id][side] if fixture.id in paid else np.nan for _, side, fixture in tables])
    earned = earned.reshape(2, budget.games, len(entered), spec.sides)
    known = ~np.isnan(earned).any((2, 3))  # [2, S]
    if known.sum(1).min() < 2:
        raise RunFailed(f"too few games with '{agent.name}' have a result to say what a response gains; look at them")
    measured = earned[1][known[1]]  # [S, 1 + K, N]
    best, gains = gained(earned[0][known[0]], measured)
    alone = measured[:, 0]  # [S, N]
    return Found(
        agent=agent.name,
        algorithm=training.algorithm["name"],
        trained=budget.seeds,
        steps=training.steps,
        seeds=int(known[1].sum()),
        alone=estimate(alone.mean(1)),
        earned=estimate((alone + gains).mean(1)),
        gain=estimate(gains.mean(1)),
        seats=[(entered[k].reference, estimate(gains[:, seat])) for seat, k in enumerate(best)],
        responses=[
            Response(each.reference, each.digest, estimate((measured[:, k] - alone).mean(1)))
            for k, each in enumerate(entered[1:], start=1)
        ],
    )


def gained(choosing: Floats, measuring: Floats) -> tuple[list[int], Floats]:
    """Return who plays each seat [N], and what it gains there by seed [S, N].

    Both arrays [S, 1 + K, N] are what the agent itself and K responses earn in each seat, by seed, with the agent in
    all others. The first array chooses, the second measures.
    """
    best = choosing.mean(0).argmax(0)  # [N] the agent itself where no response earns more
    return best.tolist(), np.stack([measuring[:, k, seat] for seat, k in enumerate(best)], 1) - measuring[:, 0]


def _seated(who: Identity, agent: Identity, side: int, spec: Spec) -> tuple[str, ...]:
    """Return the table at which somebody holds a side, and the agent all others."""
    return tuple(who.digest if each == side else agent.digest for each in spec.side_of)


def _json(value: Estimate) -> dict[str, float | None]:
    return {"mean": value.mean, "ci95": value.interval if math.isfinite(value.interval) else None}
