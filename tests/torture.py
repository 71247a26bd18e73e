"""Kill commands at random moments, go on with them, and compare with a run that nothing interrupted.

    python -m tests.torture [--kills 200] [--only NAME]... [--seed 0] [--jobs 2]

Every kill is a SIGKILL, of the command or of one of the processes that it started. Half of them wait until something
is being written (a *.partial file or folder, a growing write-ahead log), half come at a random time. Counted are

    lost          what was committed before a kill and is not there, or is not whole, after it
    doubled       steps in a log, or games in a store, that are there twice
    mismatched    runs that are not, to the byte, the run that nothing interrupted
    refused       commands that did not go on
    hung          processes that did not end: a command that stood still, or a worker after its command was killed

A command is given as long as it computes: other work on the machine, however much, makes no command hang.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marl.agents import checkpoint
from marl.base.units import JOURNAL
from tests.marl.training.test_train import lines, same

ROOT = Path(__file__).parents[1]
FAULTS = ("lost", "doubled", "mismatched", "refused", "hung")
PATIENCE = 300.0  # seconds in which a command, and what it started, has to compute for a second
LONGEST = 3600.0  # CPU-seconds that a command may take to its end
ORPHANS = 30.0  # seconds in which the workers of a killed command have to end

BOARD = {"game": "openspiel:tic_tac_toe", "num_envs": 8, "evaluation": {"panel": ["random"], "seeds": 2}}
TEAM = {"game": "two_step", "num_envs": 8, "rollout_length": 8, "evaluation": {"panel": ["self"], "seeds": 2}}
DILEMMA = {"game": "matrix(game=prisoners_dilemma, steps=8, memory=true, truncate=true)", "num_envs": 64}
STAGES = {"game": "openspiel:goofspiel(num_cards=3)", "num_envs": 8, "rollout_length": 8}
STAGES |= {"steps": 6_400, "stretch": 400, "evaluation": {"panel": ["random"], "seeds": 2}}
SMALL_STAGES = {"batch_size": 16, "learning_starts": 100, "steps_per_update": 64, "iterations": 10, "target_update": 20}
SEARCH = {"simulations": 4, "batch_size": 32, "steps_per_update": 16, "hidden": [16], "encoder": "mlp"}
TOURNAMENT = {
    "game": "openspiel:tic_tac_toe",
    "agents": ["random", "mcts(simulations=5)", "uct(simulations=20)"],
    "seeds": 100,
    "num_envs": 8,
    "batch": 8,
}
ACTIVE = TOURNAMENT | {"schedule": {"kind": "active", "ci95": 60}, "seeds": 200, "workers": 2}


PSRO = {
    "method": "psro",
    "game": "openspiel:kuhn_poker",
    "learner": {"name": "ippo", "hidden": [8], "minibatch_size": 256},
    "response": 1_600,
    "stretch": 400,
    "num_envs": 8,
    "rollout_length": 16,
    "iterations": 3,
    "games": {"at_least": 40, "at_most": 120, "batch": 40, "num_envs": 8},
}


PBT = {
    "method": "pbt",
    "train": "ippo.json",
    "set": {"steps": 4_800, "stretch": 400, "keep": 1},
    "size": 5,
    "ready": 1_200,
    "vary": {"algorithm.learning_rate": {"log": [1e-4, 1e-1]}},
    "seeds": 32,
    "workers": 2,
}
PARTNERS = {
    "method": "partners",
    "train": "ippo.json",
    "set": {"game": "matrix(game=coordination, steps=8, memory=true)", "steps": 4_000, "stretch": 400},
    "partners": 3,
    "learners": 2,
    "held_out": 2,
    "seeds": 40,
    "workers": 2,
}
LEAGUE = {
    "method": "league",
    "game": "openspiel:kuhn_poker",
    "learner": {"name": "ippo", "hidden": [8], "minibatch_size": 256},
    "roles": {"main": 1, "main_exploiter": 1, "league_exploiter": 1},
    "start": ["constant(action=0)"],
    "steps": 3_200,
    "round": 800,
    "stretch": 400,
    "min_rounds": 1,
    "num_envs": 8,
    "rollout_length": 16,
    "games": {"at_least": 32, "per_round": 64, "at_most": 128, "num_envs": 8},
}


class Judge(ABC):
    """What a kind of command commits to its folder."""

    @abstractmethod
    def committed(self, folder: Path) -> dict[str, Any]:
        """Return what can be read and must never be lost, by name."""

    @abstractmethod
    def damaged(self, folder: Path) -> list[str]:
        """Return what is there after a kill and is not whole."""

    @abstractmethod
    def doubled(self, folder: Path) -> list[str]:
        """Return what is there twice when a command has ended."""

    @abstractmethod
    def same(self, whole: Path, folder: Path) -> bool:
        """Return whether two commands that have ended left the same."""

    @abstractmethod
    def writing(self, folder: Path) -> object:
        """Return something that is new, and not None, where something is being written now."""


class Runs(Judge):
    """One run, or those of a population."""

    def committed(self, folder: Path) -> dict[str, Any]:
        found = [Path(at) / "checkpoint.json" for at, _, names in os.walk(folder) if "checkpoint.json" in names]
        units = {f"the unit {entry['id']}": entry for entry in self.units(folder)}
        return units | {str(path.relative_to(folder)): path.read_bytes() for path in found if path.parent.suffix == ""}

    def damaged(self, folder: Path) -> list[str]:
        found = []
        for run in self._runs(folder):
            if not any(run.rglob(checkpoint.LEARNER)):
                continue  # of a league's old round: nothing goes on from it
            resumed = checkpoint.resumed(run)
            if resumed and resumed.damaged:
                found.append(resumed.why)
        return found

    def doubled(self, folder: Path) -> list[str]:
        found = []
        for run in self._runs(folder):
            steps = [line["step"] for line in lines(run / "metrics.jsonl")]
            played = [(line["step"], line["against"]) for line in lines(run / "evaluations.jsonl")]
            found += [f"{run}: {name}" for name, keys in (("steps", steps), ("evaluations", played)) if _twice(keys)]
        return found + _twice([f"{folder}: the unit {entry['id']}" for entry in self.units(folder)])

    def same(self, whole: Path, folder: Path) -> bool:
        pairs = [(run, folder / run.relative_to(whole)) for run in self._runs(whole)]
        listed = [path for path in (whole / "population.json",) if path.exists()]
        runs = all(same(*pair) for pair in pairs)
        lists = all(path.read_bytes() == (folder / path.name).read_bytes() for path in listed)
        return runs and lists and self._done(whole) == self._done(folder)

    def writing(self, folder: Path) -> object:
        names = (name for _, *found in os.walk(folder) for kind in found for name in kind)
        return next((name for name in names if name.endswith(".partial")), None)

    def units(self, folder: Path) -> list[dict[str, Any]]:
        """Return the whole lines of a population's journal."""
        path = folder / JOURNAL
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def _done(self, folder: Path) -> dict[str, Any]:
        """Return the units and their outputs: the journal without its times."""
        return {entry["id"]: entry["output"] for entry in self.units(folder)}

    def _runs(self, folder: Path) -> list[Path]:
        return sorted(path.parent for path in folder.rglob("checkpoints"))


class Games(Judge):
    """The store of a tournament."""

    def committed(self, folder: Path) -> dict[str, Any]:
        return {row[0]: row for row in self._rows(folder)}

    def damaged(self, folder: Path) -> list[str]:
        with self._copy(folder) as db:
            said = [row[0] for row in db.execute("PRAGMA integrity_check")]
        return [] if said == ["ok"] else said

    def doubled(self, folder: Path) -> list[str]:
        return [f"{folder}: {key}" for key in _twice([row[1:3] for row in self._rows(folder)])]

    def same(self, whole: Path, folder: Path) -> bool:
        return self._rows(whole) == self._rows(folder)

    def writing(self, folder: Path) -> object:
        try:
            return (folder / "games.sqlite-wal").stat().st_mtime_ns or None
        except FileNotFoundError:
            return None

    def _rows(self, folder: Path) -> list[tuple[Any, ...]]:
        """Return the games: id, seed, agents, payoffs, termination, length, moves."""
        with self._copy(folder) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'games'").fetchone():
                return []
            columns = "id, seed, agents, payoffs, termination, length, moves"
            return db.execute(f"SELECT {columns} FROM games ORDER BY id").fetchall()

    @staticmethod
    def _copy(folder: Path) -> "_Copy":
        return _Copy(folder)


class _Copy:
    """A copy of a store as a kill has left it: reading the store itself would recover it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> sqlite3.Connection:
        self._at = tempfile.TemporaryDirectory()
        for path in self._folder.glob("games.sqlite*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, self._at.name)
        self._db = sqlite3.connect(Path(self._at.name) / "games.sqlite")
        return self._db

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._at.cleanup()


class Rounds(Judge):
    """A population whose members meet: its runs, its games, and what each round found."""

    def __init__(self) -> None:
        self._runs, self._games = Runs(), Games()

    def committed(self, folder: Path) -> dict[str, Any]:
        """Leave out cells.json, to which more is added, and checkpoints within a response: it keeps its last."""
        found = {str(path): path.read_bytes() for path in (folder / "rounds").rglob("*.json") if path.stem != "cells"}
        runs = self._runs.committed(folder)
        trained = [entry["output"] for entry in self._runs.units(folder) if entry["kind"] == "train"]
        made = {f"{output['checkpoint']}/checkpoint.json" for output in trained}
        found |= {name: what for name, what in runs.items() if name in made or name.startswith("the unit ")}
        return found | (self._games.committed(folder) if self._has_games(folder) else {})

    def damaged(self, folder: Path) -> list[str]:
        return self._runs.damaged(folder) + (self._games.damaged(folder) if self._has_games(folder) else [])

    def doubled(self, folder: Path) -> list[str]:
        return self._runs.doubled(folder) + self._games.doubled(folder)

    def same(self, whole: Path, folder: Path) -> bool:
        found = [
            {str(path.relative_to(at)): path.read_bytes() for path in (at / "rounds").rglob("*.json")}
            for at in (whole, folder)
        ]
        return found[0] == found[1] and self._runs.same(whole, folder) and self._games.same(whole, folder)

    def writing(self, folder: Path) -> object:
        return self._runs.writing(folder) or self._games.writing(folder)

    @staticmethod
    def _has_games(folder: Path) -> bool:
        return (folder / "games.sqlite").exists()


@dataclass(frozen=True)
class Subject:
    """A command that is killed: its words after `marl`, its config, and who judges what it leaves."""

    name: str
    words: tuple[str, ...]
    config: dict[str, Any]
    judge: Judge
    resume: tuple[str, ...] = ("--resume",)


def subjects() -> dict[str, Subject]:
    """Return what is killed, by name."""
    runs = Runs()
    trained = {
        "ippo": BOARD | {"algorithm": {"name": "ippo", "hidden": [16]}, "steps": 12_000, "stretch": 800},
        "mappo": TEAM | {"algorithm": {"name": "mappo", "hidden": [8]}, "steps": 12_000, "stretch": 800},
        "qmix": TEAM
        | {"algorithm": {"name": "qmix", "hidden": 8, "steps_per_update": 64}, "steps": 6_400, "stretch": 400},
        "loqa": DILEMMA | {"algorithm": {"name": "loqa", "actor_hidden": [8], "critic_hidden": [8]}},
        "minimax_dqn": STAGES | {"algorithm": {"name": "minimax_dqn", "hidden": [8], "optimism": 0.01} | SMALL_STAGES},
        "alphazero": BOARD | {"algorithm": {"name": "alphazero"} | SEARCH, "steps": 2_400, "stretch": 200},
        "muzero": BOARD | {"algorithm": {"name": "muzero"} | SEARCH, "steps": 2_000, "stretch": 200},
    }
    trained["happo"] = trained["mappo"] | {"algorithm": {"name": "happo", "hidden": [8]}}
    conditional = {"name": "conditional_mappo", "hidden": [8], "epochs": 2}
    trained["conditional_mappo"] = trained["mappo"] | {"algorithm": conditional}
    maddpg = {"name": "maddpg", "actor_hidden": [8], "critic_hidden": [8], "random_steps": 400, "steps_per_update": 20}
    trained["maddpg"] = trained["qmix"] | {
        "algorithm": maddpg,
        "game": "gymnasium:gymnasium.Pendulum-v1",
        "num_envs": 4,
    }
    trained["ippo-continuous"] = trained["ippo"] | {"game": "gymnasium:gymnasium.Pendulum-v1", "num_envs": 4}
    trained["loqa"] |= {"steps": 24_000, "stretch": 1_500, "evaluation": {"panel": ["self"], "seeds": 2}}
    memory = {
        "game": "repeat_first",
        "algorithm": {"name": "mappo", "hidden": [8], "recurrent": True, "hidden_size": 8},
    }
    trained["mappo-recurrent"] = trained["mappo"] | memory
    for name in ("qmix", "alphazero"):
        distribution = trained[name]["algorithm"] | {"value_head": "hl_gauss"}
        trained[f"{name}-distribution"] = trained[name] | {"algorithm": distribution}
    trained["search-2-workers"] = trained["alphazero"] | {"rollout_workers": 2}
    past = {"agents": ["random"], "past": {"window": 3, "draw": "prioritised", "weight": 2}, "share": 0.75}
    trained["past"] = trained["ippo"] | {"opponents": past}
    trained["past-2-workers"] = trained["search-2-workers"] | {"opponents": past}
    found = [Subject(name, ("train",), config, runs) for name, config in trained.items()]
    members = {f"m{seed}": {"train": "ippo.json", "set": {"seed": seed}} for seed in range(3)}
    found.append(Subject("population", ("population",), {"members": members, "workers": 2}, runs))
    found += [Subject(f"psro-{workers}", ("population",), PSRO | {"workers": workers}, Rounds()) for workers in (1, 2)]
    found += [
        Subject(f"league-{workers}", ("population",), LEAGUE | {"workers": workers}, Rounds()) for workers in (1, 2)
    ]
    found += [Subject(config["method"], ("population",), config, Rounds()) for config in (PBT, PARTNERS)]
    for workers in (1, 2):
        config = TOURNAMENT | {"workers": workers}
        found.append(Subject(f"tournament-{workers}", ("tournament", "run"), config, Games(), ()))
    found.append(Subject("tournament-active", ("tournament", "run"), ACTIVE, Games(), ()))
    return {subject.name: subject for subject in found}


@dataclass
class Tally:
    """What came of the kills of one subject."""

    kills: int = 0
    in_writes: int = 0
    of_workers: int = 0
    rounds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    def fault(self, kind: str, *details: str) -> None:
        self.faults[kind] += len(details)
        self.details += [f"{kind}: {detail}" for detail in details]


class Torture:
    """The kills of one subject, round after round: a round is one folder, killed again and again and then finished."""

    def __init__(self, subject: Subject, kills: int, seed: str, home: Path) -> None:
        self.subject, self.kills, self.home = subject, kills, home
        self.tally = Tally()
        self._draw = random.Random(seed)
        home.mkdir(parents=True)
        for each in subjects().values():
            (home / f"{each.name}.json").write_text(json.dumps(each.config))

    def run(self) -> Tally:
        whole = self.home / "whole"
        begun = time.monotonic()
        process = self._start(whole)
        if self._wait(process) != 0:
            self.tally.fault("refused", f"without a kill: {self._complaint(process)}")
            return self.tally
        took = time.monotonic() - begun
        while self.tally.kills < self.kills and not (self.tally.faults["hung"] or self.tally.faults["refused"]):
            folder = self.home / f"round{self.tally.rounds}"
            self.tally.rounds += 1
            if not self._round(folder, took):
                continue
            self.tally.fault("doubled", *self.subject.judge.doubled(folder))
            if not self.subject.judge.same(whole, folder):
                self.tally.fault("mismatched", str(folder))
            elif not self.tally.details:
                shutil.rmtree(folder)
        return self.tally

    def _round(self, folder: Path, took: float) -> bool:
        """Kill a command until it ends by itself, or there were enough kills; return whether it ended well."""
        judge = self.subject.judge
        while True:
            process = self._start(folder)
            seen = self._strike(process, folder, took)
            if seen is None:
                if self._wait(process) == 0:
                    return True
                kind = "hung" if process.returncode is None else "refused"
                self.tally.fault(kind, self._complaint(process))
                return False
            after = judge.committed(folder)
            self.tally.fault("lost", *(name for name, value in seen.items() if after.get(name) != value))
            self.tally.fault("lost", *judge.damaged(folder))

    def _strike(self, process: subprocess.Popen[str], folder: Path, took: float) -> dict[str, Any] | None:
        """Kill a command, and return what it had committed before; None where it is to end by itself, or did."""
        judge, draw = self.subject.judge, self._draw
        if self.tally.kills >= self.kills:
            return None
        in_write = 2 * self.tally.in_writes <= self.tally.kills  # half of the kills, or more
        moment = time.monotonic() + draw.uniform(0.1, 0.8) * took
        known = judge.writing(folder)
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.002)
        if in_write:
            while process.poll() is None and (now := judge.writing(folder)) in (None, known):
                known = now
                time.sleep(0.0005)
            time.sleep(draw.random() * draw.choice([0.0, 0.002, 0.02]))
        seen = judge.committed(folder)
        started = _descendants(process.pid)
        at_worker = bool(started) and draw.random() < 1 / 3
        if process.poll() is not None:
            return None
        victim = draw.choice(started) if at_worker else process.pid
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return None
        self.tally.kills += 1
        self.tally.in_writes += in_write
        self.tally.of_workers += at_worker
        if not at_worker:
            process.wait()
        elif draw.random() < 1 / 2:  # both are killed
            time.sleep(draw.random())
            process.kill()
            process.wait()
        elif (code := self._wait(process)) != 0:  # another worker takes up what it had begun
            self.tally.fault("hung" if code is None else "refused", self._complaint(process))
        deadline = time.monotonic() + ORPHANS
        while (left := [pid for pid in started if _alive(pid)]) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.tally.fault("hung", *(f"worker {pid} of {self.subject.name}" for pid in left))
        return seen

    def _start(self, folder: Path) -> subprocess.Popen[str]:
        words = [*self.subject.words, f"{self.subject.name}.json", "--run-dir", str(folder), *self.subject.resume]
        with (self.home / "complaint").open("w") as complaint:
            return subprocess.Popen(
                [sys.executable, "-m", "marl", *words],
                cwd=self.home,
                env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=complaint,
                text=True,
            )

    def _wait(self, process: subprocess.Popen[str]) -> int | None:
        """Wait for a command; return its exit code, or None if it hangs."""
        spent, since = 0.0, time.monotonic()
        while time.monotonic() < since + PATIENCE and spent <= LONGEST:
            try:
                return process.wait(min(5.0, PATIENCE))
            except subprocess.TimeoutExpired:
                now = _cpu_seconds([process.pid, *_descendants(process.pid)])
                if now != spent:
                    spent, since = now, time.monotonic()
        return None

    def _complaint(self, process: subprocess.Popen[str]) -> str:
        ended = f"exit code {process.poll()}"
        process.kill()
        return f"{self.subject.name}: {ended}: {' '.join((self.home / 'complaint').read_text()[-500:].split())}"


def _twice(keys: list[Any]) -> list[Any]:
    return [key for key, count in Counter(keys).items() if count > 1]


def _descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    said = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for child, parent in (map(int, line.split()) for line in said.splitlines()):
        children.setdefault(parent, []).append(child)

    def below(parent: int) -> Iterator[int]:
        for child in children.get(parent, []):
            yield child
            yield from below(child)

    return list(below(pid))


def _cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time of processes together, in whole seconds."""
    words = ["ps", "-o", "time=", "-p", ",".join(map(str, pids))]
    return sum(map(seconds_of, subprocess.run(words, capture_output=True, text=True).stdout.split()))


def seconds_of(time: str) -> float:
    """Return the seconds of a CPU time as `ps` writes it: [[days-]hours:]minutes:seconds."""
    days, _, clock = time.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = 60 * total + float(part)
    return total + 86_400 * int(days or 0)


def _alive(pid: int) -> bool:
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(said) and not said.startswith("Z")


def _row(name: str, tally: Tally) -> str:
    numbers = [tally.kills, tally.in_writes, tally.of_workers, tally.rounds, *(tally.faults[kind] for kind in FAULTS)]
    return f"{name:24}" + "".join(f"{number:>11}" for number in numbers)


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each subject; exit code 1 where anything was lost, doubled, mismatched, refused or hung."""
    every = subjects()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=207, help="in all, shared among the subjects")
    parser.add_argument("--only", action="append", choices=list(every), help="a subject; several by several --only")
    parser.add_argument("--seed", type=int, default=0, help="of when is killed, and what")
    parser.add_argument("--jobs", type=int, default=2, help="subjects side by side")
    options = parser.parse_args(arguments)
    chosen = options.only or list(every)
    each = -(-options.kills // len(chosen))
    begun = time.monotonic()
    total = Tally()
    heads = ("kills", "in writes", "of workers", "rounds", *FAULTS)
    print(f"{'':24}" + "".join(f"{head:>11}" for head in heads), flush=True)
    home = Path(tempfile.mkdtemp(prefix="torture-"))
    with ThreadPoolExecutor(options.jobs) as pool:
        tortures = [Torture(every[name], each, f"{options.seed} {name}", home / name) for name in chosen]
        for torture, tally in zip(tortures, pool.map(Torture.run, tortures), strict=True):
            print(_row(torture.subject.name, tally), flush=True)
            for detail in tally.details:
                print(f"    {detail}", flush=True)
            for name in ("kills", "in_writes", "of_workers", "rounds"):
                setattr(total, name, getattr(total, name) + getattr(tally, name))
            total.faults += tally.faults
    print(_row("all", total))
    print(f"{time.monotonic() - begun:.0f} seconds")
    if total.faults.total():
        print(f"kept: {home}")
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
