"""Check every game of a source, and list in one table which pass, which are refused, and which fail.

    marl games table openspiel        marl games table pettingzoo

Each game is checked in a process of its own: one that aborts, hangs or runs out of memory fails alone. A game passes if
it keeps every promise of the contract (games/check.py). It is refused if building it raises a UserError, which says why
agents cannot play it here.
"""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from games import plugins, registry, sources
from games.check import check_game
from games.contract import Spec
from games.errors import UserError, nearest
from games.processes import beginning

Verdict = Literal["passes", "refused", "FAILS"]

MOST_MEMORY = 8 << 30  # bytes of one game's process


@dataclass(frozen=True)
class CheckedGame:
    """The verdict on one game; the last five fields are empty if it could not be built."""

    reference: str
    verdict: Verdict
    detail: str = ""  # why it was refused, or which rule it broke and where
    players: int = 0
    turns: str = ""
    information: str = ""
    chance: str = ""
    payoff: str = ""

    def __str__(self) -> str:
        kind = (self.players or "", self.turns, self.information, self.chance, self.payoff)
        cells = (str(cell).replace("|", "\\|") for cell in (self.reference, self.verdict, *kind, self.detail))
        return " | ".join(["", *cells, ""]).strip()


def table(source: str, episodes: int = 4, timeout: float = 900, workers: int = 2) -> str:
    """Return the survey of a source as Markdown; raises UserError if it is unknown or keeps no list of its games."""
    rows = list(survey(references(source), episodes, timeout, workers))
    count = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("passes", "refused", "FAILS")}
    return "\n".join(
        [
            f"# The games of {source}",
            "",
            f"{count['passes']} pass, {count['refused']} are refused, {count['FAILS']} fail "
            f"({len(rows)} in all, {episodes} episodes each).",
            "",
            "| game | verdict | players | turns | information | chance | payoff | why |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *map(str, rows),
        ]
    )


def references(source: str) -> list[str]:
    """Return a reference to each game of a source, sorted, and to those of its games that need parameters."""
    known = plugins.names(plugins.SOURCES)
    if source not in known:
        raise UserError(f"expected a source ({', '.join(known)}), got '{source}'{nearest(source, known)}")
    found = sources.source(source)
    named = [*found.names(), *found.examples()]
    if not named:
        raise UserError(f"'{source}' keeps no list of its games; check one by its name (`marl games check`)")
    return sorted(f"{source}:{name}" for name in named)


def survey(references: Iterable[str], episodes: int, timeout: float, workers: int) -> Iterator[CheckedGame]:
    """Yield each game's row in the order given, `workers` checked at once, each for at most `timeout` seconds."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(partial(_row, episodes=episodes, timeout=timeout), references)


def _row(reference: str, episodes: int, timeout: float) -> CheckedGame:
    program = f"{beginning()}; from games.survey import main; del sys.path[0]; main()"
    command = [sys.executable, "-W", "ignore", "-c", program, reference, str(episodes)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        return CheckedGame(reference, "FAILS", f"took longer than {timeout:g} seconds")
    output = (child.stderr if child.returncode else child.stdout).strip().splitlines() or ["no output"]
    if child.returncode == 0 and output[-1].startswith("{"):
        return CheckedGame(**json.loads(output[-1]))
    how = signal.Signals(-child.returncode).name if child.returncode < 0 else child.returncode
    return CheckedGame(reference, "FAILS", f"its process ended with {how}: {output[-1]}")


def check(reference: str, episodes: int) -> CheckedGame:
    """Check one game in this process."""
    try:
        spec = registry.make(reference, 1).spec
        report = check_game(reference, episodes)
    except UserError as refusal:
        return CheckedGame(reference, "refused", str(refusal))
    broken = [f"{promise.promise}: {promise.detail}" for promise in report.promises if promise.passed is False]
    return CheckedGame(reference, "FAILS" if broken else "passes", " ".join("; ".join(broken).split()), **_kind(spec))


def _kind(spec: Spec) -> dict[str, Any]:
    return {
        "players": spec.num_players,
        "turns": spec.turns,
        "information": "perfect" if spec.perfect_information else "hidden",
        "chance": "chance" if spec.chance else "",
        "payoff": spec.payoff.replace("_", "-"),
    }


def main() -> None:
    """Check one game in a process of its own, and print its row as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    print(json.dumps(vars(check(sys.argv[1], int(sys.argv[2])))))
