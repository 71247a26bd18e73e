"""The rounds of policy-space response oracles: play, solve, decide, train, freeze.

    round r      play the cells that the newest members have opened, until the mixture's value is known
                 solve the table                                                     -> meta.json
                 decide against whom the responses train                             -> decision.json
                 train them: each a unit of work, in the journal                     -> members/response-r
                 freeze the one that has had all its rounds: the newest member       -> population.json

Each response trains in `pipeline` rounds. In a round the lowest meets the mixture of the members, and each one above it
that of the members and of the newest checkpoints of those below it (pipeline PSRO: McAleer et al. 2020,
https://arxiv.org/abs/2006.08555, whose responses end when they no longer improve; here all train equally long).

Whatever a round has written is read again when a run goes on, and what is missing is made again from the same games
and members: a run that was killed gives the same bytes as one that was not.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from games.contract import Spec
from games.errors import UserError
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Journal, work
from marl.training.population import stands
from marl.training.train import check
from marl.training.writers import Writer
from tournaments.populations.files import (
    DECISION,
    END,
    META,
    PAYOFF,
    Member,
    Mixture,
    Round,
    Weights,
    finite,
    payoff_json,
    read_members,
    solutions,
    table_of,
    write_population,
)
from tournaments.populations.history import with_error
from tournaments.populations.meetings import Games
from tournaments.populations.meta_strategy import solve
from tournaments.populations.policies import Policies, policies_of
from tournaments.populations.population import Population, named_agents
from tournaments.populations.psro.config import BEST, PsroConfig
from tournaments.populations.psro.meetings import Expectations, Measurements, Meetings
from tournaments.populations.psro.responses import Response, name_of, respond, response_to, responses_of
from tournaments.populations.psro.solution import Gain, gain_of

SMALL = 20_000  # positions of a game whose exploitability is computed unasked: each round walks through all of them

Facts = Mapping[str, Any]  # what meta.json says


class Psro(Population[PsroConfig]):
    """A population of responses, and its members so far."""

    stays = (*Population.stays, "start", "pipeline")  # its members descend from these, in this order

    def __init__(self, config: PsroConfig, folder: Path, device: str, console: Terminal) -> None:
        super().__init__(config, folder, device, console)
        with config.blame_game():
            _check_game(config, self._spec)
        with config.origin.blame(("start",)):
            self.members = named_agents(config.start, "start", self._spec)
        self.learners: list[Member] = []  # the newest checkpoints of responses that still train, the lowest first
        self._policies = _policies(config, self._spec)
        with config.origin.blame(("start",)):
            self._read_policies()
        if not config.computed:
            with config.origin.blame(("learner",)):
                check(response_to({}, config, 0), device)

    @property
    def may_change(self) -> tuple[str, ...]:
        """The last rounds of a pipeline train fewer responses: with more iterations they would train more."""
        return (*super().may_change, *(["iterations"] if self.config.pipeline == 1 else []))

    def _advance(self) -> None:
        config = self.config
        best: Facts | None = None
        found: Facts | None = None
        self._listed = {member.id: member for member in read_members(self.folder)}
        journal = Journal(self.folder / JOURNAL)
        with self._meetings() as meetings, self._shown(len(solutions(self.folder))) as shown:
            for number in range(config.rounds + 1):
                round, before = Round(self.folder, number), found
                self._read_policies()
                found = round.found()
                if found is None or not meetings.recall(round):
                    found = self._measure(round, before, meetings, shown)
                best = found if best is None else _better(found, best)
                if len(self.members) >= len(self._listed):  # what went further is listed while it is read again
                    mixture = Mixture(best["round"], best["weights"])
                    write_population(self.folder, config.game, self.members, mixture)
                if number == config.rounds:
                    break
                self.learners = self._train(round, found, journal)
                if number + 1 < config.pipeline:
                    continue
                response = replace(self.learners.pop(0), id=name_of(number + 1 - config.pipeline))
                same = next((member for member in self.members if member.digest == response.digest), None)
                if same and config.solver == "nash":  # which is the same with a member twice
                    round.write(END, {"response": response.id, "same_as": same.id})
                    self._say(f"{response.id} is {same.id} again, so all is found")
                    break
                self.members.append(response)

    @contextmanager
    def _meetings(self) -> Iterator[Meetings]:
        """Open where members meet."""
        if self.config.payoffs == "exact":
            assert self._policies is not None
            yield Expectations(self.config, self._policies)
            return
        with self._store() as store:
            yield Measurements(self.config, Games(self.config, store, self.folder))

    def _read_policies(self) -> None:
        """Read the members' policies; with `exploitability: auto` nothing is computed once a member tells none."""
        needed = _needs_policies(self.config) is not None
        for member in self.members:
            if self._policies is None:
                return
            named = member.digest, member.named(self.folder)
            if needed:
                self._policies.read(*named)
            elif not self._policies.tells(*named):
                self._policies = None
        if self.config.payoffs == "exact" and self._policies:
            for learner in self.learners:
                self._policies.read(learner.digest, learner.named(self.folder))

    def _measure(self, round: Round, before: Facts | None, meetings: Meetings, shown: Sequence[Writer]) -> Facts:
        """Measure and solve the payoff table of a round; write both, and return what was found.

        `before` is what the round before found, whose mixture the newest member answers.
        """
        table, meta = meetings.measure(round, self.members, self.learners)
        weights = meta.by_member(table.agents)
        joined = before is not None and round.number >= self.config.pipeline  # a response, after the round before
        found: Facts = {
            "round": round.number,
            "weights": weights,
            "values": meta.values.tolist(),
            "error": meta.error,
            "seeds": finite(meta.seeds),
            "entropy": meta.entropy.tolist(),
            "nash_conv": self._policies.nash_conv(weights) if self._policies else None,
            "gain": gain_of(table, self.members[-1].digest, before["weights"]).to_json() if before and joined else None,
        }
        for writer in shown:
            writer.write(round.number, values_of(found))
            writer.flush()
        round.write(PAYOFF, payoff_json(table))
        round.write(META, found)
        self._say(f"round {round.number} of {self.config.rounds}: {in_words(found)}")
        return found

    def _train(self, round: Round, found: Facts, journal: Journal) -> list[Member]:
        """Train the responses of a round, the lowest first, and return their newest checkpoints."""
        config, folder = self.config, self.folder
        numbers = responses_of(round.number, config)
        listed = self._listed.get(name_of(numbers[0]))
        if config.pipeline == 1 and listed and listed.reference is None and stands(folder, asdict(listed)):
            return [listed]
        responses = [self._response(number, place, round, found) for place, number in enumerate(numbers)]
        round.write(DECISION, {"learners": {response.name: response.decision for response in responses}})
        tasks = {response.unit: response.task(folder, self._device) for response in responses}
        journal.drop(unit for unit in tasks if unit in journal and not stands(folder, journal.output(unit)))
        made = work(journal, tasks, respond, config.workers, config.engine, self._tell)
        return [response.made(made[response.unit.id], round.number + 1) for response in responses]

    def _response(self, number: int, place: int, round: Round, found: Facts) -> Response:
        """Return what a response does in a round: it meets the members, and the responses below its place."""
        below = self.learners[:place]
        weights: Weights = found["weights"]
        if below:
            table = table_of(round)
            joined = [member.digest for member in [*self.members, *below]]
            weights = solve(table, joined, self.config.solver).by_member(table.agents)
        agents = {member.digest: member.named(self.folder) for member in [*self.members, *below]}
        met = {digest: agents[digest] for digest in weights}
        begun = self.learners[place] if place < len(self.learners) else None
        return Response.of(self.config, number, round.number, weights, met, begun.named(self.folder) if begun else None)


def values_of(found: Facts) -> dict[str, float]:
    """Return what a round found as values by name, as writers show them."""
    values = {"meta/value": found["values"][0], "meta/members": float(len(found["weights"]))}
    values |= {f"meta/entropy/seat_{seat}": entropy for seat, entropy in enumerate(found["entropy"])}
    if found["gain"] is not None:
        values |= {f"response/gain/seat_{seat}": gain for seat, gain in enumerate(found["gain"]["mean"])}
    if found["nash_conv"] is not None:
        values["exploitability/nash_conv"] = found["nash_conv"]
    return values


def in_words(found: Facts) -> str:
    """Return what a round found as words for the terminal."""
    seats = zip(*found["weights"].values(), strict=True)
    support = " and ".join(str(sum(weight > 0 for weight in seat)) for seat in seats)
    words = [
        f"value {with_error(found['values'][0], found['error'], found['seeds'])} to the first seat",
        f"mixture of {support} members",
    ]
    if (gain := found["gain"]) is not None:
        gained = " and ".join(with_error(*seat) for seat in Gain.from_json(gain).seats)
        words.append(f"the newest gained {gained}")
    if found["nash_conv"] is not None:
        words.append(f"NashConv {found['nash_conv']:.4f}")
    return "; ".join(words)


def _better(one: Facts, other: Facts) -> Facts:
    """Return the less exploitable of two mixtures, where both are known; else the first, which is the newer."""
    known = one["nash_conv"] is not None and other["nash_conv"] is not None
    return other if known and other["nash_conv"] <= one["nash_conv"] else one


def _check_game(config: PsroConfig, spec: Spec) -> None:
    """Raise UserError for a game whose payoff table the solver cannot solve."""
    if spec.num_players != 2:
        raise UserError(f"psro needs a game of two players, and '{spec.name}' has {spec.num_players}; choose another")
    if config.solver == "nash" and spec.payoff != "zero_sum":
        raise UserError(
            f"solver nash needs a zero-sum game, and '{spec.name}' is not; use solver: uniform, or alpharank"
        )


def _needs_policies(config: PsroConfig) -> str | None:
    """Return the value of a config that needs the members' policies; None where they can be done without."""
    needs = {
        "payoffs: exact": config.payoffs == "exact",
        "exploitability: exact": config.exploitability == "exact",
        f"learner: {BEST}": config.computed,
    }
    return next((value for value, said in needs.items() if said), None)


def _policies(config: PsroConfig, spec: Spec) -> Policies | None:
    """Return the policies of a small game, if the config needs them or may have them; raises UserError."""
    purpose = _needs_policies(config)
    if purpose is not None:
        return policies_of(spec, purpose, game=config.game)
    if config.exploitability == "none":
        return None
    try:
        return policies_of(spec, "exploitability: exact", SMALL)
    except UserError:
        return None
