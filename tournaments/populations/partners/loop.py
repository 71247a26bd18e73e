"""Fictitious co-play: partners by self-play, learners with the pool of them, and what all earn with each other.

    round 0    train partners, and strangers that are held out, by self-play     -> members/<id>/0000/
    round 1    decide which checkpoints of the partners make the pool            -> decision.json
               train the learners, each with all of the pool                     -> members/<id>/0001/
    round 2    all meet: each two play the same seeds in both seatings           -> payoff.json
               what they earn alone, with each other and with strangers          -> meta.json

Each training is a unit of work, and the games are in a store. So a run that was killed gives the same bytes as one
that was not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from tournaments.populations.partners.config import SELF, PartnersConfig
from tournaments.populations.partners.history import HELD_OUT, LEARNER, MEETING, PARTNER, in_words, names_of
from tournaments.populations.partners.pool import ROLES, pool_of, training_seed
from tournaments.populations.trained import Output, Run, Trained
from tournaments.populations.training import DIVERGED, against
from tournaments.ratings.cross_play import cross_play, narrowed, team_returns, with_strangers
from tournaments.ratings.table import Table, table
from tournaments.schedules.round_robin import cell


class PartnersPopulation(Trained[PartnersConfig]):
    """A population of partners, of strangers to them, and of learners that train with the partners."""

    def __init__(self, config: PartnersConfig, folder: Path, device: str, console: Terminal) -> None:
        super().__init__(config, folder, device, console, config.checked(device))

    def _advance(self) -> None:
        journal = Journal(self.folder / JOURNAL)
        alone = self._train(journal, [self._run(name, 0) for name in names_of(self.config, PARTNER, HELD_OUT)])
        members = [self._member(name, output, 1) for name, output in alone.items()]
        if not read_members(self.folder):
            write_population(self.folder, self.config.game, members, None)
        pool = self._pool(alone)
        learned = self._train(journal, [self._run(name, 1, pool) for name in names_of(self.config, LEARNER)])
        members += [self._member(name, output, MEETING) for name, output in learned.items()]
        write_population(self.folder, self.config.game, members, None)
        self._meet(Round(self.folder, MEETING), members)

    def _run(self, name: str, round: int, pool: Sequence[Mapping[str, Any]] = ()) -> Run:
        """Return what a member trains: with itself, or with a pool."""
        role, _, place = name.rpartition("-")
        seed = training_seed(self.config.seed, role, int(place))
        if not pool:
            return Run(name, round, self._base, seed)
        weights = Counter(str(each["digest"]) for each in pool)
        agents = {each["digest"]: str(self.folder / each["checkpoint"]) for each in pool}
        opponents = against({digest: float(weight) for digest, weight in weights.items()})
        return Run(name, round, self._base, seed, opponents=opponents, steps=self.config.steps, agents=agents)

    def _pool(self, alone: Mapping[str, Output]) -> Sequence[Mapping[str, Any]]:
        """Return the checkpoints of the partners that make the pool, and write them."""
        round = Round(self.folder, 1)
        if (decided := round.read(DECISION)) is not None:
            return list(decided["pool"])
        pool = []
        for name in names_of(self.config, PARTNER):
            run = (self.folder / alone[name]["checkpoint"]).parents[1]
            for stage, step in pool_of(self._evaluations(run)).items():
                found = checkpoint.folder_of(run, step)
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

    def _evaluations(self, run: Path) -> Sequence[tuple[int, float]]:
        """Return the steps of a partner's checkpoints, with what they earn by self-play."""
        (curve,) = read_runs(run, self._base.config, "return", SELF).values()
        return list(zip(curve.step.astype(int).tolist(), curve.value.tolist(), strict=True))

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
        paid = self._play(members)
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
        if round.read(META) is None:
            with self._shown(0) as shown:
                for writer in shown:
                    writer.write(round.number, values_of(meta))
                    writer.flush()
        round.write(META, meta)
        self._say(in_words(meta))

    def _play(self, members: Sequence[Member]) -> Table:
        """Return the payoff table of members, after the games that are missing."""
        config, training = self.config, self._base.config
        with self._store() as store:
            for member in members:
                store.add_agent(member.digest, member.id, member.named(self.folder))
            digests = [member.digest for member in members]
            fixtures = [
                fixture
                for k, one in enumerate(digests)
                for other in digests[: k + 1]
                for fixture in cell(config.game, other, one, range(config.seeds), config.seed)
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
