"""The rounds of a league: play, decide, freeze, train.

    before     each learner's checkpoint of step 0, from which it starts and starts again       -> begun.json
    round r    play the cells that decide who freezes, and those with the anchors
               what the members are worth by them, and their mixture                            -> meta.json
               decide who freezes, from where each learner trains, whom it meets                -> decision.json
               train the learners: each a unit of work, in the journal                          -> members/main-0/r
               list what has frozen, and the newest checkpoints                                 -> population.json

Whatever a round has written is read again when a run goes on, and what is missing is made again from the same games
and checkpoints: a run that was killed gives the same bytes as one that was not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError
from marl.agents import checkpoint
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Journal, work
from marl.training.pfsp import Tally
from marl.training.population import stands
from marl.training.train import check
from marl.training.writers import Writer
from tournaments.populations.files import (
    BEGUN,
    DECISION,
    MADE,
    META,
    PAYOFF,
    Member,
    Mixture,
    Round,
    finite,
    read_members,
    solutions,
    write_population,
)
from tournaments.populations.league.config import LEAGUE_EXPLOITER, MAIN_EXPLOITER, START, LeagueConfig
from tournaments.populations.league.decisions import check_game, decide, more_games, to_json
from tournaments.populations.league.evidence import REMEMBERED, Evidence, FrozenMember, Learner
from tournaments.populations.league.meetings import Cell, Cells
from tournaments.populations.league.roles import League
from tournaments.populations.league.training import Line, Task, name_of, run_of, train_round, training_of, until_of
from tournaments.populations.meta_strategy import solve
from tournaments.populations.population import Population, named_agents
from tournaments.populations.spent import GAMES, TRAINING, spending
from tournaments.populations.training import DIVERGED

MIXED = 16  # members of the mixture: those that froze last
EXPLOITERS = MAIN_EXPLOITER, LEAGUE_EXPLOITER
WHY = {  # a learner freezes
    "all beaten": "it has beaten all its rivals",
    "no rivals": "it has no rivals yet",
    "time": "its time is up",
}
KEPT = 2  # rounds whose checkpoints keep the learner's state

Facts = Mapping[str, Any]  # what meta.json says


class LeaguePopulation(Population[LeagueConfig]):
    """A population of learners, and what they were when they froze."""

    stays = (*Population.stays, "roles", "members", "start", "round")  # those that are there descend from these

    def __init__(self, config: LeagueConfig, folder: Path, device: str, console: Terminal) -> None:
        super().__init__(config, folder, device, console)
        with config.blame_game():
            check_game(config, self._spec)
        with config.origin.blame(("start",)):
            self.frozen = named_agents(config.start, START, self._spec)  # all that have, in order
        with config.origin.blame(("anchors",)):
            self.anchors = named_agents(config.anchors, "anchor", self._spec)
            _refuse_leaks(self.anchors, self.frozen)
        for name, role in config.learners.items():
            own = role in config.members and config.members[role].learner is not None
            with config.origin.blame(("members", role, "learner") if own else ("learner",)):
                check(training_of(Learner(name, role), 0, config), device)
        self.lines: dict[str, Line] = {}
        self._outcomes: dict[str, dict[str, Tally]] = {}  # of the round before

    def _advance(self) -> None:
        config = self.config
        self._listed = max((member.round for member in read_members(self.folder)), default=0)
        journal = Journal(self.folder / JOURNAL)
        self._begin(journal)
        found: Facts | None = None
        with self._store() as store, self._shown(len(solutions(self.folder))) as shown:
            cells = Cells(config, store, self.folder)
            cells.know([*self.anchors, *self.frozen])
            for number in range(config.rounds + 1):
                round = Round(self.folder, number)
                cells.know(self._newest())
                found = self._measure(round, cells, found, shown)
                if number < config.rounds:
                    decided = self._decide(round, cells)
                    self._freeze(number, decided)
                    self._train(round, decided, journal)
                self._list(min(number + 1, config.rounds), found)
            cells.complete()

    def _begin(self, journal: Journal) -> None:
        """Make each learner's checkpoint of step 0, or find it."""
        learners = [Learner(name, role) for name, role in self.config.learners.items()]
        tasks = {each.id: Task.first(each, self.config) for each in learners}
        made = self._made(Round(self.folder, 0), BEGUN, tasks, journal)
        for each in learners:
            start = _member(each, 0, made[each.id], tasks[each.id])
            self.lines[each.id] = Line.begun(each, start)

    def _measure(self, round: Round, cells: Cells, before: Facts | None, shown: Sequence[Writer]) -> Facts:
        """Play the games that a round needs; write and return what the members are worth by them."""
        found = round.found()
        if cells.recall(round) and found is not None:
            return dict(found)
        with spending(self.folder, round.number, GAMES):
            cells.complete()
            cells.play(round, {})
            while wanted := cells.missing(self._wanted(round.number, cells)):
                cells.play(round, wanted)
        found = {
            "round": round.number,
            "learners": {name: [line.newest.digest, line.newest.step] for name, line in self.lines.items()},
            "scores": self._scores(cells, before),
            "mixture": self._mixture(round.number, cells),
        }
        for writer in shown:
            writer.write(round.number, self._values(found))
            writer.flush()
        round.write(PAYOFF, cells.to_json(round))
        round.write(META, found)
        return found

    def _wanted(self, number: int, cells: Cells) -> dict[Cell, int]:
        """Return how many pairs of games agents are to have before a round is decided."""
        least = self.config.games.at_least
        wanted = {_cell(one, other): least for one in self._rated() for other in self._digests(self.anchors)}
        wanted |= {_cell(*pair): least for pair in combinations_with_replacement(self._mixed(number), 2)}
        for cell, pairs in more_games(self.config, self._league(), self._evidence(cells)).items():
            wanted[cell] = max(pairs, wanted.get(cell, 0))
        return wanted

    def _league(self) -> League:
        frozen = [FrozenMember(each.digest, each.role, each.round, each.learner) for each in self.frozen]
        return League([line.learner for line in self.lines.values()], frozen)

    def _evidence(self, cells: Cells) -> Evidence:
        """Return what is known: anchors have no part in it."""
        lines = [digest for line in self.lines.values() for digest in line.learner.line[:REMEMBERED]]
        return Evidence(cells.table(list(dict.fromkeys([*self._digests(self.frozen), *lines]))), self._outcomes)

    def _rated(self) -> list[str]:
        """Return the digests of those that play the anchors: what has frozen, and the newest but exploiters."""
        newest = [line.newest for line in self.lines.values() if line.learner.role not in EXPLOITERS]
        return self._digests([*self.frozen, *newest])

    def _mixed(self, number: int) -> list[str]:
        """Return the digests of those whose mixture is solved: what froze last, and at the end the newest."""
        if self._spec.payoff != "zero_sum":
            return []
        newest = self._newest() if number == self.config.rounds else []
        return self._digests([*self.frozen[-MIXED:], *newest])

    @staticmethod
    def _digests(members: Sequence[Member]) -> list[str]:
        return list(dict.fromkeys(member.digest for member in members))

    def _scores(self, cells: Cells, before: Facts | None) -> dict[str, Any]:
        """Return what the rated are paid by the anchors, on average over both seats, with standard errors."""
        known = before["scores"] if before else {}
        rated, anchors = self._rated(), self._digests(self.anchors)
        table = cells.table([*(new := [digest for digest in rated if digest not in known]), *anchors])
        found = {digest: known[digest] for digest in rated if digest in known}
        for place, digest in enumerate(new):
            weights = np.zeros_like(table.payoff)
            weights[:, place, len(new) :] = 1 / (2 * max(len(anchors), 1))
            mean = float((weights * np.where(weights > 0, table.payoff, 0.0)).sum())
            if anchors and np.isfinite(mean):
                seeds = finite(table.seeds_of(weights))
                found[digest] = {"payoff": mean, "error": table.error_of(weights), "seeds": seeds}
        return found

    def _mixture(self, number: int, cells: Cells) -> dict[str, Any] | None:
        """Return the Nash equilibrium of the members that froze last; None without any, and in other games."""
        mixed = self._mixed(number)
        table = cells.table(mixed)
        if not mixed or np.isnan(table.payoff).any():
            return None
        return dict(solve(table, mixed, "nash").by_member(table.agents))

    def _values(self, found: Facts) -> dict[str, float]:
        """Return what a round found as values by name, as writers show them."""
        values = {"league/frozen": float(len(self.frozen))}
        for name, line in self.lines.items():
            if line.newest.digest in found["scores"]:
                values[f"anchors/{name}"] = found["scores"][line.newest.digest]["payoff"]
        return values

    def _decide(self, round: Round, cells: Cells) -> dict[str, Any]:
        """Return what a round decides of each learner, as it is written."""
        written = round.read(DECISION)
        if written is None:
            cells.complete()
            evidence = self._evidence(cells)
            written = to_json(decide(self.config, round.number, self._league(), evidence), evidence)
            round.write(DECISION, written)
            for name, decision in written["learners"].items():
                if freeze := decision["freeze"]:
                    why = WHY[freeze["why"]]
                    again = "; it starts again" if decision["trains_from"] is None else ""
                    self._say(f"round {round.number}: {self.lines[name].newest.id} freezes, as {why}{again}")
        return dict(written["learners"])

    def _freeze(self, number: int, decided: Mapping[str, Any]) -> None:
        """Freeze checkpoints as they were measured, and then start learners again that are to."""
        for name, decision in sorted(decided.items()):
            if decision["freeze"] is None:
                continue
            line = self.lines[name]
            if line.newest.id not in [member.id for member in self.frozen]:  # it has trained since
                self.frozen.append(line.newest)
            fresh = decision["trains_from"] is None
            self.lines[name] = line.restarted() if fresh else line.frozen()

    def _train(self, round: Round, decided: Mapping[str, Any], journal: Journal) -> None:
        """Train the learners of a round."""
        config, number = self.config, round.number
        named = {each.digest: each.named(self.folder) for each in [*self.frozen, *self._newest()]}
        tasks = {
            name: Task.of(self.lines[name], number, decision["meets"], decision["share"], config, self.folder, named)
            for name, decision in sorted(decided.items())
            if (self.lines[name].newest.step or 0)
            < until_of(self.lines[name].trained, number, config)  # else it is there
        }
        made = self._made(round, MADE, tasks, journal)
        for name in decided:
            line, output = self.lines[name], made.get(name)
            newest = (
                line.newest if output is None else _member(line.learner, number + 1, output, tasks[name], line.parent)
            )
            self.lines[name] = line.trained_to(newest)
            outcomes = {} if output is None else output["outcomes"]
            self._outcomes[name] = {digest: Tally(**outcome) for digest, outcome in outcomes.items()}
            self._forget(name, number - KEPT)

    def _made(self, round: Round, name: str, tasks: Mapping[str, Task], journal: Journal) -> dict[str, Any]:
        """Do the tasks of learners, by their ids, unless the round has written what came of them; return that."""
        written = round.read(name)
        if written is None or not all(stands(self.folder, output) for output in written["learners"].values()):
            units = {task.unit: task.arguments(self.folder, self._device) for task in tasks.values()}
            journal.drop(unit for unit in units if unit in journal and not stands(self.folder, journal.output(unit)))
            with spending(self.folder, round.number, TRAINING):
                made = work(journal, units, train_round, self.config.workers, self.config.engine, self._tell)
            written = {"learners": {learner: made[task.unit.id] for learner, task in tasks.items()}}
            round.write(name, written)
        return dict(written["learners"])

    def _forget(self, learner: str, round: int) -> None:
        """Drop the learner's state of a round that no other will begin with."""
        run = run_of(learner, round)
        if round >= 0 and not str(self.lines[learner].newest.checkpoint).startswith(f"{run}/"):
            checkpoint.forget_learner(self.folder / run)

    def _newest(self) -> list[Member]:
        return [line.newest for line in self.lines.values()]

    def _list(self, round: int, found: Facts) -> None:
        """Write population.json; the newest are of a later round than all that has frozen."""
        if round < self._listed:
            return  # what went further is listed while it is read again
        newest = [replace(member, id=str(member.learner), round=round) for member in self._newest()]
        mixture = Mixture(found["round"], found["mixture"]) if found["mixture"] else None
        write_population(self.folder, self.config.game, [*self.frozen, *newest], mixture)


def _member(learner: Learner, round: int, output: Mapping[str, Any], task: Task, parent: str | None = None) -> Member:
    """Return what a learner's task has made; `round` is the first whose table it may be in."""
    return Member(
        name_of(learner.id, round),
        output["digest"],
        learner.role,
        round,
        checkpoint=output["checkpoint"],
        algorithm=task.training.algorithm["name"],
        step=output["step"],
        seed=task.training.seed,
        learner=learner.id,
        parent=parent,
        diverged=output.get(DIVERGED),
    )


def _cell(one: str, other: str) -> Cell:
    return min(one, other), max(one, other)


def _refuse_leaks(anchors: Sequence[Member], frozen: Sequence[Member]) -> None:
    """Raise UserError if a learner could meet an anchor, under whatever name."""
    named = {member.digest: member.reference for member in frozen}
    for anchor in anchors:
        if anchor.digest in named:
            same = "" if named[anchor.digest] == anchor.reference else f", the same agent as '{anchor.reference}',"
            raise UserError(
                f"anchors are never trained against: '{named[anchor.digest]}'{same} is in 'start' too; take it out of "
                "one"
            )
