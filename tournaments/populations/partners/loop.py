"""Fictitious co-play: partners by self-play, learners with the pool of them, and what all earn with each other.

    round 0    train partners, and strangers that are held out, by self-play     -> members/<id>/0000/
    round 1    decide which checkpoints of the partners make the pool            -> decision.json
               train the learners, each with all of the pool                     -> members/<id>/0001/
    round 2    all meet: each two play the same seeds in both seatings           -> payoff.json
               what they earn alone, with each other and with strangers          -> meta.json

Where partners are to differ (`diversity`) they train in S rounds, one for each stretch, and the other two come after:

    round r    decide from whom each partner is to differ, of those of round r-1 -> decision.json
    (1..S-1)   train the partners for one more stretch                           -> members/<id>/<r>/

Each training is a unit of work, and the games are in a store. So a run that was killed gives the same bytes as one
that was not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from marl.agents import checkpoint
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Journal
from marl.training.curves import read_runs
from tournaments.playing.play import play_into
from tournaments.populations.files import (
    DECISION,
    META,
    PAYOFF,
    Member,
    Round,
    payoff_json,
    read_members,
    write_population,
)
from tournaments.populations.partners import diversity
from tournaments.populations.partners.config import SELF, PartnersConfig
from tournaments.populations.partners.history import HELD_OUT, LEARNER, PARTNER, in_words, names_of, until_of
from tournaments.populations.partners.pool import ROLES, pool_of, training_seed
from tournaments.populations.trained import Output, Run, Trained, integrity_of
from tournaments.populations.training import DIVERGED, against
from tournaments.ratings.cross_play import cross_play, narrowed, team_returns, with_strangers
from tournaments.ratings.table import Table, table
from tournaments.schedules.round_robin import cell


class PartnersPopulation(Trained[PartnersConfig]):
    """A population of partners, of strangers to them, and of learners that train with the partners."""

    def __init__(self, config: PartnersConfig, folder: Path, device: str, console: Terminal) -> None:
        super().__init__(config, folder, device, console, config.checked(device))

    def _advance(self) -> None:
        journal, meeting = Journal(self.folder / JOURNAL), self.config.rounds
        stages = self._train_alone(journal)
        members = [self._member(name, made[-1], self.config.stages) for name, made in stages.items()]
        if not read_members(self.folder):
            write_population(self.folder, self.config.game, members, None)
        pool = self._pool(stages)
        learned = self._train(journal, [self._learner(name, pool) for name in names_of(self.config, LEARNER)])
        members += [self._member(name, output, meeting) for name, output in learned.items()]
        write_population(self.folder, self.config.game, members, None)
        self._meet(Round(self.folder, meeting), members)

    def _train_alone(self, journal: Journal) -> dict[str, list[Output]]:
        """Train partners and held-out agents, without learners; return what each of its rounds made, by member."""
        training = self._base.config
        begins = until_of(self.config, training, 0)
        runs = [self._run(name, 0, until=None if until == training.steps else until) for name, until in begins.items()]
        stages = {name: [output] for name, output in self._train(journal, runs).items()}
        for number in range(1, self.config.stages):
            begun = {name: stages[name][-1] for name in names_of(self.config, PARTNER)}
            met = self._differ(Round(self.folder, number), begun)
            until = until_of(self.config, training, number)
            runs = [
                self._stage(name, number, until[name], begun, met[name])
                for name, output in begun.items()
                if output["step"] < training.steps
            ]
            for name, output in self._train(journal, runs).items():
                stages[name].append(output)
        return stages

    def _run(self, name: str, round: int, **fields: Any) -> Run:
        """Return what a member trains in a round."""
        role, _, place = name.rpartition("-")
        return Run(name, round, self._base, training_seed(self.config.seed, role, int(place)), **fields)

    def _learner(self, name: str, pool: Sequence[Mapping[str, Any]]) -> Run:
        """Return what a learner trains: with a pool."""
        weights = Counter(str(each["digest"]) for each in pool)
        agents = {each["digest"]: str(self.folder / each["checkpoint"]) for each in pool}
        opponents = against({digest: float(weight) for digest, weight in weights.items()})
        return self._run(name, self.config.stages, opponents=opponents, steps=self.config.steps, agents=agents)

    def _stage(self, name: str, round: int, until: int, begun: Mapping[str, Output], met: Sequence[str]) -> Run:
        """Return what a partner trains in a round that begins with such partners, to differ from those of them."""
        assert self.config.diversity is not None
        population = list(dict.fromkeys(output["digest"] for output in begun.values()))
        parent = integrity_of(self.folder, begun[name])
        lie = {output["digest"]: str(self.folder / output["checkpoint"]) for output in begun.values()}
        asked = population if self.config.diversity.entropy else met
        return self._run(
            name,
            round,
            parent=parent,
            until=until,
            opponents=diversity.opponents(met),
            reward_terms=diversity.reward_terms(self.config.diversity, population),
            agents={digest: lie[digest] for digest in asked} | {parent: str(self.folder / begun[name]["checkpoint"])},
        )

    def _differ(self, round: Round, begun: Mapping[str, Output]) -> dict[str, list[str]]:
        """Return the digests of the partners that each is to meet in a round, and write why; nobody for entropy."""
        if self.config.diversity is None or not self.config.diversity.cross_play:
            return {name: [] for name in begun}
        if (decided := round.read(DECISION)) is not None:
            return dict(decided["met"])
        partners = {
            output["digest"]: replace(self._member(name, output, round.number), id=f"{name}.{round.number:04d}")
            for name, output in begun.items()
        }
        paid = team_returns(self._play(list(partners.values()), min(self.config.seeds, diversity.SEEDS)))
        digests = list(partners)
        fits = dict(zip(digests, diversity.most_compatible(paid), strict=True))
        met = {name: [digests[k] for k in fits[output["digest"]]] for name, output in begun.items()}
        earned = diversity.worth(paid)
        round.write(DECISION, {"met": met, "earned": earned})
        self._say(f"round {round.number}: partners earn {diversity.in_words(earned)}")
        return met

    def _pool(self, stages: Mapping[str, Sequence[Output]]) -> Sequence[Mapping[str, Any]]:
        """Return the checkpoints of the partners that make the pool, and write them."""
        round = Round(self.folder, self.config.stages)
        if (decided := round.read(DECISION)) is not None:
            return list(decided["pool"])
        pool = []
        for name in names_of(self.config, PARTNER):
            earned = self._evaluations([(self.folder / output["checkpoint"]).parents[1] for output in stages[name]])
            for stage, step in pool_of([(step, returns) for step, (returns, _) in sorted(earned.items())]).items():
                found = checkpoint.folder_of(earned[step][1], step)
                pool.append(
                    {
                        "partner": name,
                        "stage": stage,
                        "step": step,
                        "digest": checkpoint.read(found)["digest"],
                        "checkpoint": str(found.relative_to(self.folder)),
                    }
                )
        round.write(DECISION, {"pool": pool})
        self._say(f"the pool has {len(pool)} checkpoints of {self.config.partners} partners")
        return pool

    def _evaluations(self, runs: Sequence[Path]) -> dict[int, tuple[float, Path]]:
        """Return what a partner's checkpoints earn by self-play, by step, and the run that has each."""
        found: dict[int, tuple[float, Path]] = {}
        for run in runs:  # a round begins with the checkpoint with which the one before ended
            (curve,) = read_runs(run, self._base.config, "return", SELF).values()
            steps, values = curve.step.astype(int).tolist(), curve.value.tolist()
            found = {step: (value, run) for step, value in zip(steps, values, strict=True)} | found
        return found

    def _member(self, name: str, output: Output, round: int) -> Member:
        role, _, place = name.rpartition("-")
        return Member(
            name,
            output["digest"],
            role,
            round,
            checkpoint=output["checkpoint"],
            algorithm=self._base.config.algorithm["name"],
            step=output["step"],
            seed=training_seed(self.config.seed, role, int(place)),
            diverged=output.get(DIVERGED),
        )

    def _meet(self, round: Round, members: Sequence[Member]) -> None:
        """Let all members meet, if they have not yet, and write what they are paid and what follows."""
        paid = self._play(members, self.config.seeds)
        round.write(PAYOFF, payoff_json(paid))
        digests = {role: [member.digest for member in members if member.role == role] for role in ROLES}
        apart = [paid.agents.index(digest) for digest in (*digests[PARTNER], *digests[HELD_OUT])]
        found = cross_play(team_returns(paid)[np.ix_(apart, apart)])
        learned, partners = (with_strangers(paid, digests[role], digests[HELD_OUT]) for role in (LEARNER, PARTNER))
        gained = narrowed(learned, partners)
        meta = {
            "self_play": found.self_play.tolist(),
            "cross_play": found.cross_play.tolist(),
            "gap": found.gap.tolist(),
            "learners": float(learned.mean()),
            "partners": float(partners.mean()),
            "narrowed": {
                "mean": gained.mean,
                "interval": gained.interval if np.isfinite(gained.interval) else None,
            },
        }
        if self.config.differs:
            meta["pool"] = self._pool_earns(paid, digests[PARTNER])
        if round.read(META) is None:
            with self._shown(0) as shown:
                for writer in shown:
                    writer.write(round.number, values_of(meta))
                    writer.flush()
        round.write(META, meta)
        self._say(in_words(meta))

    @staticmethod
    def _pool_earns(paid: Table, partners: Sequence[str]) -> dict[str, Any]:
        """Return what partners earn alone and with each other: with `diversity` they are another kind of agents."""
        places = [paid.agents.index(digest) for digest in partners]
        found = cross_play(team_returns(paid)[np.ix_(places, places)])
        return {name: getattr(found, name).tolist() for name in ("self_play", "cross_play", "gap")}

    def _play(self, members: Sequence[Member], seeds: int) -> Table:
        """Return the payoff table of members on some seeds, after the games that are missing."""
        config, training = self.config, self._base.config
        with self._store() as store:
            for member in members:
                store.add_agent(member.digest, member.id, member.named(self.folder))
            digests = [member.digest for member in members]
            fixtures = [
                fixture
                for k, one in enumerate(digests)
                for other in digests[: k + 1]
                for fixture in cell(config.game, other, one, range(seeds), config.seed)
            ]
            play_into(
                store,
                config.game,
                {member.digest: member.named(self.folder) for member in members},
                fixtures,
                num_envs=training.num_envs,
                workers=config.workers,
                engine=config.engine,
            )
            return table(store, digests)


def values_of(meta: Mapping[str, Any]) -> dict[str, float]:
    """Return what was found as values by name, as writers show them."""
    return {f"partners/{name}": meta[name][0] for name in ("self_play", "cross_play", "gap")} | {
        "with_strangers/learners": meta["learners"],
        "with_strangers/partners": meta["partners"],
        "with_strangers/narrowed": meta["narrowed"]["mean"],
    }
