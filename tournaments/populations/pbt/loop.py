"""The rounds of population-based training: score, copy and explore, train.

    round r      score the members' newest checkpoints, on seeds that all of them play      -> meta.json
                 decide who copies whom, and with which settings each member goes on        -> decision.json
                 train all members for `ready` steps, each a unit of work                   -> members/<id>/<r>/

In round 0 nothing is scored; the last round only scores. A copy is the whole learner's state of the checkpoint with
which the parent's round ended, named by its digest. The parent goes on in another folder, so nothing that it does
changes what is copied.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from games.arrays import Floats
from games.errors import RunFailed
from games.keys import fold_one, stream
from marl.base.parcels import Reads
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Journal, work
from marl.training.writers import Writer
from tournaments.populations.files import DECISION, META, Member, Round, findings, write_population
from tournaments.populations.pbt.config import PbtConfig
from tournaments.populations.pbt.lineage import Copy, Settings, best_of, in_order, name_of
from tournaments.populations.pbt.priors import explored
from tournaments.populations.pbt.scores import score, score_unit
from tournaments.populations.pbt.selection import fitness, meetings
from tournaments.populations.trained import Output, Run, Trained, integrity_of
from tournaments.populations.training import DIVERGED
from tournaments.reports.pairs import written

OUTPUT = "checkpoint", "digest", "step", DIVERGED  # what a round of training leaves of a member, and may
Facts = Mapping[str, Any]  # what meta.json says


class PbtPopulation(Trained[PbtConfig]):
    """A population of members that copy each other."""

    stays = (*Trained.stays, "size", "ready", "seed")  # its rounds are those of these

    def __init__(self, config: PbtConfig, folder: Path, device: str, console: Terminal) -> None:
        self._pbt = config.checked(device)
        super().__init__(config, folder, device, console, self._pbt.base)
        self._names = [name_of(place) for place in range(config.size)]

    def _advance(self) -> None:
        config, made = self.config, dict[str, Output]()
        journal = Journal(self.folder / JOURNAL)
        before: Facts = {"members": {}}
        with self._shown(len(findings(self.folder))) as shown:
            for number in range(config.rounds + 1):
                round = Round(self.folder, number)
                found = round.read(META)
                if found is None:
                    found = self._measure(round, made, before, journal, shown)
                if number and Round(self.folder, number + 1).read(META) is None:
                    self._list(round, made)
                if number == config.rounds:
                    break
                before = round.read(DECISION) or self._decide(round, made, found, journal)
                made = self._train_round(round, before, journal)

    def _measure(
        self, round: Round, made: Mapping[str, Output], decision: Facts, journal: Journal, shown: Sequence[Writer]
    ) -> Facts:
        """Score the members of a round, and write and return what was found; `decision` is that of the round before."""
        returns = self._returns(round, made, journal)
        worth = fitness(returns) if made else []
        settings = [decision["members"][name]["settings"] for name in made]
        found = {
            "members": {
                name: {"fitness": each.mean, "interval": each.interval, "settings": own} | dict(made[name])
                for name, each, own in zip(made, worth, settings, strict=True)
            }
        }
        for writer in shown:
            writer.write(round.number, values_of(found))
            writer.flush()
        round.write(META, found)
        if made:
            self._say(f"round {round.number} of {self.config.rounds}: {in_words(found)}")
        return found

    def _returns(self, round: Round, made: Mapping[str, Output], journal: Journal) -> Floats:
        """Return the members' returns [n, S] on the seeds of a round."""
        config, training = self.config, self._pbt.base.config
        key = fold_one(stream(config.seed, "score"), round.number)
        limit = training.evaluation.max_steps
        units, tasks = {}, {}
        for name, output in made.items():
            digest, reference = output["digest"], self._lies(output)
            anchors: Mapping[str, str] = {Reads(each): known for each, known in self._pbt.anchors.items()} or {
                self._lies(made[other]): made[other]["digest"] for other in made if other != name
            }
            unit = units[name] = score_unit(training.game, digest, anchors, config.seeds, limit, key)
            tasks[unit] = (
                training.game,
                digest,
                reference,
                dict(anchors),
                config.seeds,
                limit,
                training.num_envs,
                key,
            )
        found = work(journal, tasks, score, config.workers, config.engine)
        return np.array([found[units[name].id] for name in made])

    def _lies(self, output: Output) -> str:
        """Return the reference of a member's newest checkpoint."""
        return Reads(self.folder / output["checkpoint"])

    def _decide(self, round: Round, made: Mapping[str, Output], found: Facts, journal: Journal) -> Facts:
        """Decide who copies whom, and with which settings each member goes on; write and return it."""
        going_on: dict[str, tuple[str | None, Settings]] = {  # from whose checkpoint, with which settings
            name: (None, dict(start)) for name, start in zip(self._names, self._pbt.starts, strict=True)
        }
        copies: list[Copy] = []
        if round.number:
            now = {name: found["members"][name]["settings"] for name in self._names}
            copies = self._copies(round, made, now, self._returns(round, made, journal))
            going_on = {name: (name, settings) for name, settings in now.items()}
            going_on |= {copy.child: (copy.parent, copy.after) for copy in copies}
        decision = {
            "members": {
                name: {
                    "settings": settings,
                    "parent": parent and dict(made[parent]) | {"integrity": integrity_of(self.folder, made[parent])},
                }
                for name, (parent, settings) in going_on.items()
            },
            "copies": [copy.to_json() for copy in copies],
        }
        round.write(DECISION, decision)
        for copy in copies:
            gained = written(copy.difference.mean, copy.difference.interval)
            copying = f"{'diverged, and ' if copy.diverged else ''}copies {copy.parent}, which is worth {gained} more"
            does = "explores" if copy.alone else copying
            self._say(f"{copy.child} {does}: {in_order(copy.after)}")
        return decision

    def _copies(
        self,
        round: Round,
        made: Mapping[str, Output],
        settings: Mapping[str, Settings],
        returns: Floats,
    ) -> list[Copy]:
        """Return who copies whom by the members' returns [n, S], or explores alone, and with which settings."""
        worth, names = fitness(returns), self._names
        diverged = {place for place, name in enumerate(names) if DIVERGED in made[name]}
        if len(diverged) == len(names):
            raise RunFailed(
                f"all members diverged, {names[0]} first: {made[names[0]][DIVERGED]}; begin with other settings"
            )
        keys = [fold_one(stream(self.config.seed, purpose), round.number) for purpose in ("meetings", "explore")]
        found = []
        for met in meetings(returns, keys[0], diverged):
            place = met.parent if met.copies else met.child
            parent = names[place]
            found.append(
                Copy(
                    round=round.number,
                    child=names[met.child],
                    parent=parent,
                    parent_digest=integrity_of(self.folder, made[parent]),
                    before=settings[names[met.child]],
                    after=explored(self._pbt.priors, settings[parent], fold_one(keys[1], met.child)),
                    child_fitness=worth[met.child],
                    parent_fitness=worth[place],
                    difference=met.difference,
                    diverged=met.diverged,
                )
            )
        return found

    def _train_round(self, round: Round, decision: Facts, journal: Journal) -> dict[str, Output]:
        """Train the members for a round, in which those that have had all steps rest; return what was made."""
        after = Round(self.folder, round.number + 1).read(META)
        if after is not None:
            there: dict[str, Output] = {
                name: {key: member[key] for key in OUTPUT if key in member} for name, member in after["members"].items()
            }
            if self._stand(there.values()):
                return there
        begun = {name: going_on["parent"] for name, going_on in decision["members"].items()}
        rest = {name for name, parent in begun.items() if parent and parent["step"] >= self._pbt.base.config.steps}
        runs = [self._run(round, name, decision["members"][name]) for name in self._names if name not in rest]
        made = self._train(journal, runs) | {
            name: {key: begun[name][key] for key in OUTPUT if key in begun[name]} for name in rest
        }
        return {name: made[name] for name in self._names}

    def _run(self, round: Round, name: str, going_on: Facts) -> Run:
        """Return what a member trains in a round."""
        parent = going_on["parent"]
        return Run(
            name,
            round.number,
            self._pbt.base,
            seed_of(self.config, name, round.number),
            settings=going_on["settings"],
            parent=parent and parent["integrity"],
            until=(round.number + 1) * self.config.ready,
            agents={parent["integrity"]: str(self.folder / parent["checkpoint"])} if parent else {},
        )

    def _list(self, round: Round, made: Mapping[str, Output]) -> None:
        """Write the members as they are in a round."""
        name, training = self._pbt.base.config.algorithm["name"], self._pbt.base.config
        members = [
            Member(
                id=member,
                digest=output["digest"],
                role="member",
                round=round.number,
                checkpoint=output["checkpoint"],
                algorithm=name,
                step=output["step"],
                seed=seed_of(self.config, member, round.number - 1),
                diverged=output.get(DIVERGED),
            )
            for member, output in made.items()
        ]
        write_population(self.folder, training.game, members, None)


def seed_of(config: PbtConfig, member: str, round: int) -> int:
    """Return the seed of a member's run in a round."""
    return fold_one(fold_one(stream(config.seed, "member"), int(member.rpartition("-")[2])), round) >> 1


def values_of(found: Facts) -> dict[str, float]:
    """Return what a round found as values by name, as writers show them."""
    values = {f"fitness/{name}": member["fitness"] for name, member in found["members"].items()}
    for name, member in found["members"].items():
        numbers = {key: value for key, value in member["settings"].items() if isinstance(value, int | float)}
        values |= {f"pbt/{key}/{name}": float(value) for key, value in numbers.items()}
    return values


def in_words(found: Facts) -> str:
    """Return what a round found as words for the terminal."""
    name = best_of(found)
    best = found["members"][name]
    worth = written(best["fitness"], best["interval"])
    return f"{name} is the best, with {worth}; it learned with {in_order(best['settings'])}"
