"""The rounds of a population of responses (PSRO): play, solve, decide, train, freeze.

    round r      play the cells that the newest member has opened, until the mixture's value is known
                 solve the table                                                     -> meta.json
                 decide against whom the next response trains                        -> decision.json
                 train it: a unit of work, in the journal                            -> members/response-r
                 freeze it: the newest member                                        -> population.json

Whatever a round has written is read again when a run goes on, and what is missing is made again from the same games
and members: a run that was killed gives the same bytes as one that was not.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from games.contract import Spec
from games.errors import UserError
from games.registry import make
from marl.agents.load import load_entrants
from marl.agents.populations import FILE
from marl.base import engine as engines
from marl.base import lock
from marl.base.files import refuse_links, write_text
from marl.base.schema import dump, load
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Journal, work
from marl.training.population import stands
from marl.training.train import check, device_of
from marl.training.writers import Writer, load_writers
from tournaments.populations.config import BEST, PsroConfig
from tournaments.populations.files import (
    DECISION,
    END,
    META,
    PAYOFF,
    ROUNDS,
    Member,
    Mixture,
    Round,
    payoff_json,
    read_members,
    solutions,
    write_population,
)
from tournaments.populations.history import with_error
from tournaments.populations.meetings import Expectations, Games, Meetings
from tournaments.populations.policies import Policies, policies_of
from tournaments.populations.psro import gain_of, opponents
from tournaments.populations.responses import MEMBERS, name_of, respond, response_to, unit_of
from tournaments.store import STORE, Store

SMALL = 20_000  # positions of a game whose exploitability is computed unasked: each round walks through all of them
MAY_CHANGE = ("iterations", "engine", "workers", "writers")  # when a run goes on
STAYS = ("game", "start")  # its members are agents of this game, and descend from these

Facts = Mapping[str, Any]  # what meta.json says


def run(
    config: PsroConfig,
    folder: Path,
    *,
    resume: bool,
    device: str = "auto",
    console: Terminal | None = None,
    accept_changes: bool = False,
) -> Path:
    """Run a population to its last iteration and return the path of population.json.

    Raises UserError before anything is written if the config, the game, the learner or the folder does not fit, or if
    another process runs a population there; RunFailed where a response fails. What is done is kept: run it again with
    `resume`.
    """
    population = Population(config, folder, device_of(device), console or Terminal())
    with lock.held(folder, "a population"):
        _open_folder(config, folder, resume=resume, accept_changes=accept_changes)
        return population.run()


class Population:
    """A population whose config has been checked, and its members so far.

    Raises UserError if something does not fit; nothing is written.
    """

    def __init__(self, config: PsroConfig, folder: Path, device: str, console: Terminal) -> None:
        engines.require(config.engine)
        self.config, self.folder, self._device, self._console = config, folder, device, console
        with config.blame_game():
            self._spec = make(config.game, 1).spec
            _check_game(config, self._spec)
        with config.origin.blame(("start",)):
            self.members = _starting(config, self._spec)
        with config.origin.blame(("writers",)):
            self._writers = load_writers(config.writers)
        self._policies = _policies(config, self._spec)
        with config.origin.blame(("start",)):
            self._read_policies()
        if not config.computed:
            with config.origin.blame(("learner",)):
                check(response_to({}, config, 0), device)

    def run(self) -> Path:
        """Advance round by round to the last iteration; return the path of population.json."""
        config = self.config
        best: Facts | None = None
        found: Facts | None = None
        self._listed = {member.id: member for member in read_members(self.folder)}
        journal = Journal(self.folder / JOURNAL)
        with self._meetings() as meetings, self._shown() as shown:
            for number in range(config.iterations + 1):
                round, before = Round(self.folder, number), found
                self._read_policies()
                found = round.found()
                if found is None or not meetings.recall(round):
                    found = self._measure(round, before, meetings, shown)
                best = found if best is None else _better(found, best)
                if len(self.members) >= len(self._listed):  # what went further is listed while it is read again
                    mixture = Mixture(best["round"], best["weights"])
                    write_population(self.folder, config.game, self.members, mixture)
                if number == config.iterations:
                    break
                response = self._respond(round, found, journal)
                same = next((member for member in self.members if member.digest == response.digest), None)
                if same and config.solver == "nash":  # which is the same with a member twice
                    round.write(END, {"response": response.id, "same_as": same.id})
                    self._console.print(f"{self.folder}: {response.id} is {same.id} again, so all is found")
                    break
                self.members.append(response)
        return self.folder / FILE

    @contextmanager
    def _meetings(self) -> Iterator[Meetings]:
        """Open where members meet."""
        if self.config.payoffs == "exact":
            assert self._policies is not None
            yield Expectations(self.config, self._policies)
            return
        with Store(self.folder / STORE, create=True) as store:
            store.set("spec", self._spec.to_json())
            store.set("game", self.config.game)  # last: a store that names its game has all other facts
            yield Games(self.config, store, self.folder)

    @contextmanager
    def _shown(self) -> Iterator[Sequence[Writer]]:
        """Open the writers, which go on after the last round that is over."""
        over = len(solutions(self.folder))
        config = self.config.model_dump(mode="json")
        with ExitStack() as stack:
            for writer in self._writers.values():
                writer.open(self.folder, config, over - 1)
                stack.callback(writer.close)
            yield list(self._writers.values())

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

    def _measure(self, round: Round, before: Facts | None, meetings: Meetings, shown: Sequence[Writer]) -> Facts:
        """Measure and solve the payoff table of a round; write both, and return what was found.

        `before` is what the round before found, whose mixture the newest member answers.
        """
        table, meta = meetings.measure(round, self.members)
        weights = meta.by_member(table.agents)
        newest = self.members[-1].digest
        found: Facts = {
            "round": round.number,
            "weights": weights,
            "values": meta.values.tolist(),
            "error": meta.error,
            "entropy": meta.entropy.tolist(),
            "nash_conv": self._policies.nash_conv(weights) if self._policies else None,
            "gain": gain_of(table, newest, before["weights"]).to_json() if before else None,
        }
        for writer in shown:
            writer.write(round.number, values_of(found))
            writer.flush()
        round.write(PAYOFF, payoff_json(table))
        round.write(META, found)
        self._console.print(f"{self.folder}: round {round.number} of {self.config.iterations}: {in_words(found)}")
        return found

    def _respond(self, round: Round, found: Facts, journal: Journal) -> Member:
        """Make a response to the mixture of a round, and return it as a member."""
        config, name = self.config, name_of(round.number)
        listed = self._listed.get(name)
        if listed and listed.reference is None and stands(self.folder, asdict(listed)):
            return listed
        response = response_to(found["weights"], config, round.number)
        round.write(DECISION, {"response": name, "opponents": opponents(found["weights"])})
        agents = {member.digest: member.named(self.folder) for member in self.members}
        met = {digest: agents[digest] for digest in found["weights"]}
        unit = unit_of(response, name)
        task = response.model_dump(mode="json"), str(self.folder), name, met, self._device
        if unit in journal and not stands(self.folder, journal.output(unit)):
            journal.drop([unit])
        made = work(journal, {unit: task}, respond, config.workers, config.engine)[unit.id]
        return Member(
            name,
            made["digest"],
            "response",
            round.number + 1,
            checkpoint=made["checkpoint"],
            algorithm=config.learner["name"],
            step=made["step"],
            seed=response.seed,
        )


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
        f"value {with_error(found['values'][0], found['error'])} to the first seat",
        f"mixture of {support} members",
    ]
    if (gain := found["gain"]) is not None:
        gained = " and ".join(with_error(mean, error) for mean, error in zip(gain["mean"], gain["error"], strict=True))
        words.append(f"the newest gained {gained}")
    if found["nash_conv"] is not None:
        words.append(f"NashConv {found['nash_conv']:.4f}")
    return "; ".join(words)


def _better(one: Facts, other: Facts) -> Facts:
    """Return the less exploitable of two mixtures, where both are known; else the first, which is the newer."""
    known = one["nash_conv"] is not None and other["nash_conv"] is not None
    return other if known and other["nash_conv"] <= one["nash_conv"] else one


def _starting(config: PsroConfig, spec: Spec) -> list[Member]:
    """Return the members before any response; raises UserError for an agent that does not fit or is named twice."""
    members: dict[str, Member] = {}
    for text in config.start:
        for entrant in load_entrants(text, spec).values():
            entrant.rest()
            if entrant.digest in members:
                raise UserError(f"'{text}' and '{members[entrant.digest].reference}' are the same agent; leave one out")
            name = f"start-{len(members):04d}"
            members[entrant.digest] = Member(name, entrant.digest, "start", 0, reference=entrant.reference)
    return list(members.values())


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
        return policies_of(spec, purpose)
    if config.exploitability == "none":
        return None
    try:
        return policies_of(spec, "exploitability: exact", SMALL)
    except UserError:
        return None


def _open_folder(config: PsroConfig, folder: Path, *, resume: bool, accept_changes: bool) -> None:
    """Make a population's folder, or go on in it; raises UserError if it holds another population."""
    path = folder / "config.yaml"
    refuse_links(path, folder / FILE, folder / JOURNAL, folder / STORE, folder / ROUNDS, folder / MEMBERS)
    if path.exists():
        if not resume:
            raise UserError(f"'{folder}' already holds a run; go on with it (--resume), or name another --run-dir")
        _refuse_other(config, load(PsroConfig, path, record=True), accept_changes=accept_changes)
    try:
        write_text(path, dump(config))
    except OSError as error:
        raise UserError(f"the folder '{folder}' cannot be written: {error}; name another --run-dir") from error


def _refuse_other(config: PsroConfig, begun: PsroConfig, *, accept_changes: bool) -> None:
    """Raise UserError if a config differs from that with which the population was begun in more than MAY_CHANGE."""
    now, before = (whole.model_dump(mode="json") for whole in (config, begun))
    changed = [key for key in now if key not in MAY_CHANGE and now[key] != before[key]]
    kept = [key for key in changed if key in STAYS]
    refused = kept if accept_changes else kept + [key for key in changed if key not in STAYS]
    if refused:
        first, more = refused[0], f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        instead = "name another --run-dir" if kept else "add --accept-changes: its later rounds are then another run's"
        raise UserError(
            f"the population was begun with {first}: {before[first]!r}, the config now says {now[first]!r}{more}; "
            f"resume with the same, or {instead}"
        )
