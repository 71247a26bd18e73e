"""The long form: many cases of every kind, a table of what came of them, and each finding with what repeats it."""

import argparse
import faulthandler
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.kinds import KINDS
from tests.fuzz.runner import EXIT_CODES, Case, Fuzzer, Outcome

LIMIT = 10.0  # seconds a command may take
REAL = 20  # cases that are run as real commands, too


def main() -> int:
    """Run what is asked for; return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(KINDS))
    parser.add_argument("--case", help="KIND/INDEX or KIND/INDEX/CHANGES: run this case alone, and show all of it")
    parser.add_argument("--real", type=int, default=REAL)
    parser.add_argument("--keep", type=Path, help="an empty folder in which all is left")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        fuzzer = Fuzzer(asked.keep or Path(made, "fuzz"), LIMIT)
        if asked.case:
            return _show(fuzzer, asked.seed, asked.case)
        return _run(fuzzer, asked.seed, asked.cases, [asked.only] if asked.only else list(KINDS), asked.real)


def _show(fuzzer: Fuzzer, seed: int, text: str) -> int:
    kind, index, *only = text.split("/")
    outcome = fuzzer.run(Case(kind, seed, int(index), tuple(map(int, only[0].split(","))) if only else None))
    print(
        _described(outcome),
        f"exit code {outcome.ran.exit_code}",
        outcome.ran.out[-5000:],
        outcome.ran.err[-5000:],
        sep="\n",
    )
    return bool(outcome.broken)


def _run(fuzzer: Fuzzer, seed: int, cases: int, kinds: list[str], real: int) -> int:
    findings, plain = [], []
    codes: Counter[tuple[str, object]] = Counter()
    for number in range(cases):
        case = Case(kinds[number % len(kinds)], seed, number // len(kinds))
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {cases}: {case.name}, {len(findings)} findings  ", end="", file=sys.stderr)
        faulthandler.dump_traceback_later(6 * LIMIT, exit=True)  # of what does not even hear the alarm
        outcome = fuzzer.run(case)
        faulthandler.cancel_dump_traceback_later()
        codes[case.kind, outcome.ran.exit_code] += 1
        if outcome.broken:
            findings.append(fuzzer.shrunk(outcome))
            print(f"\n{_described(findings[-1])}", flush=True)
        elif not outcome.ran.cut:
            plain.append(outcome)
    for there in _really(fuzzer, plain, real):
        codes["as real commands", there.ran.exit_code] += 1
        if there.broken:
            findings.append(there)
            print(f"\nas a real command: {_described(there)}", flush=True)
    print(f"\n{_table(codes, findings)}")
    return bool(findings)


def _really(fuzzer: Fuzzer, plain: list[Outcome], count: int) -> list[Outcome]:
    """Run cases that nothing was cut from as real commands: they must leave with the same exit code."""
    found = []
    for here in plain[:: max(1, len(plain) // max(1, count))][:count]:
        there = fuzzer.run_really(here.case)
        if there.ran.exit_code != here.ran.exit_code:
            there.broken.append(f"exit code {there.ran.exit_code}, and in this process {here.ran.exit_code}")
        found.append(there)
    return found


def _described(outcome: Outcome) -> str:
    """Return a finding: what was broken, what was done, and what repeats it."""
    case, notes = outcome.case, "; ".join(outcome.trial.notes)
    parts = {"changed": notes, "command": outcome.command, "said": outcome.ran.err.strip()}
    return "\n".join(
        [
            f"{case.name}: {'; '.join(outcome.broken) or 'all promises kept'!a}",
            *(f"  {name}: {text[:400]!a}{' ...' if len(text) > 400 else ''}" for name, text in parts.items()),
            f"  again: python -m tests.fuzz --seed {case.seed} --case {case.name}",
        ]
    )


def _table(codes: Counter[tuple[str, object]], findings: list[Outcome]) -> str:
    """Return what came of the cases as a Markdown table."""
    kinds = list(dict.fromkeys(kind for kind, _ in codes))
    found = Counter(outcome.case.kind for outcome in findings)
    lines = [f"| kind | cases | {' | '.join(f'exit {code}' for code in EXIT_CODES)} | findings |"]
    lines += ["|" + " --- |" * (len(EXIT_CODES) + 3)]
    for kind in kinds:
        by_code = " | ".join(str(codes[kind, code]) for code in EXIT_CODES)
        lines.append(f"| {kind} | {sum(n for (of, _), n in codes.items() if of == kind)} | {by_code} | {found[kind]} |")
    return "\n".join([*lines, f"\n{len(findings)} findings"])


if __name__ == "__main__":
    sys.exit(main())
