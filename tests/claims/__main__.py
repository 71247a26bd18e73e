"""The claims of the front page and of the results: list them, measure some again, write the pages.

python -m tests.claims                          all claims, and what they take
python -m tests.claims run NAME[,NAME] ...      measured beside claimed; --record writes the new figures
python -m tests.claims page                     the pages are written from the claims
python -m tests.claims check                    commands, figures and pages agree
"""

import argparse
import json
import math
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import marl
from games.errors import UserError
from games.text import markdown_table
from marl.base.files import write_text
from marl.base.terminal import Terminal
from tests.claims import commands, pages, running, verdicts
from tests.claims.cells import filled
from tests.claims.running import RUNS, Ended
from tests.claims.sources import readings
from tests.claims.table import MEASURED, TABLE, Claim, Claims, Figures, Measurement, chosen, figures_of, read
from tests.claims.verdicts import Read, Verdict
from tournaments.records.provenance import processor


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; return 1 where a claim does not hold or a check fails, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.claims", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="list", choices=("list", "run", "page", "check"))
    parser.add_argument("names", nargs="*", help="claims, also with commas between them")
    parser.add_argument("--minutes", type=_minutes, help="of run: refuse claims that take more CPU-minutes")
    parser.add_argument("--record", action="store_true", help="of run: the new figures become the claimed ones")
    asked = parser.parse_args(arguments)
    names = [name for text in asked.names for name in text.split(",") if name]
    terminal = Terminal()
    try:
        _refuse_unused(asked.what, names, asked.minutes, asked.record)
        claims = read()
        if asked.what == "run":
            return run(claims, names, asked.minutes, asked.record, terminal)
        if asked.what == "page":
            return page(claims, terminal)
        return check(claims, names, terminal) if asked.what == "check" else listed(claims, names, terminal)
    except UserError as error:
        Terminal(stderr=True).print(f"claims: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        Terminal(stderr=True).print("claims: interrupted; the same command goes on")
        return 130


def _minutes(text: str) -> float:
    """Return a bound that something can be compared with: `nan` would allow everything."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a number of CPU-minutes above 0, got '{text}'")
    return value


def _refuse_unused(what: str, names: list[str], minutes: float | None, recording: bool) -> None:
    """Raise UserError for what would change nothing: options of run elsewhere, and names of claims for the pages."""
    for option, given in (("--minutes", minutes is not None), ("--record", recording)):
        if given and what != "run":
            raise UserError(f"{option} is for run, got it with {what}; name claims after run (make: ONLY=NAME)")
    if names and what == "page":
        raise UserError(f"page writes all pages and takes no names, got '{names[0]}'; leave it out")


def listed(claims: Claims, names: list[str], terminal: Terminal) -> int:
    """Print the claims: what they take, when they were measured, and their state."""
    some = chosen(claims, names) if names else claims.claims
    rows = [
        (
            name,
            claim.section,
            pages.budget(claim.budget),
            claim.measured.date,
            claim.measured.processor,
            _state(name, claim),
        )
        for name, claim in some.items()
    ]
    titles = ("claim", "section", "budget", "measured", "processor", "state")
    terminal.block("\n".join(markdown_table(titles, rows, words=titles)))
    hours = sum(claim.budget for claim in some.values()) / 60
    dated = sum(bool(claim.dated) for claim in some.values())
    terminal.print(f"{len(rows)} claims, {hours:.1f} CPU-hours in all; {dated} are to be measured again.")
    return 0


def _state(name: str, claim: Claim) -> str:
    ended, of = len(running.done(claim, RUNS / name)), len(running.spread_out(claim))
    begun = f"{ended} of {of} commands are done in {RUNS / name}" if 0 < ended < of else ""
    again = f"to be measured again: {claim.dated}" if claim.dated else "stands"
    return "; ".join(filter(None, [again, begun]))


def run(claims: Claims, names: list[str], minutes: float | None, recording: bool, terminal: Terminal) -> int:
    """Measure claims again, and print the new figures beside the claimed ones."""
    if not names:
        raise UserError("expected the names of claims, got none; `make claims` lists them, and ONLY=NAME,NAME chooses")
    some = chosen(claims, names)
    running.refuse(some, minutes)
    held = True
    for name, claim in some.items():
        terminal.print(f"{name}: {pages.budget(claim.budget)} when it was measured")
        if len(running.done(claim, RUNS / name)) == len(running.spread_out(claim)):
            terminal.print(f"{name}: its commands have all ended before; delete '{RUNS / name}' to measure it again")
        ended = running.run(claim, RUNS / name, terminal.print)
        spent = sum(each.cpu_seconds for each in ended)
        tables = {table: figures_of(claim, table) for table in claim.tables}
        found = {table: read_again(figures, RUNS / name) for table, figures in tables.items()}
        held &= _told(name, claim, tables, found, spent, terminal)
        if recording:
            record(name, tables, found, spent, measurement(ended, terminal))
            claims = read()
            page(claims, terminal)
    return 0 if held or recording else 1


def read_again(figures: Figures, folder: Path) -> Read:
    """Read the figures of a table from what the claim's commands have written in a folder."""
    return {
        (row, column): (source, readings(source, folder, figures.seeds)) for row, column, source in figures.sources()
    }


def _told(
    name: str, claim: Claim, tables: dict[str, Figures], found: dict[str, Read], spent: float, terminal: Terminal
) -> bool:
    """Print a claim's tables with the new figures, and the verdict; return whether it holds."""
    family = sum(verdicts.count(tables[table], found[table]) for table in tables)
    told: list[Verdict] = []
    for table, figures in tables.items():
        terminal.block(
            "\n".join(
                [
                    "",
                    f"{table}, measured:",
                    *renewed(figures, found[table]).markdown(),
                    "",
                    f"{table}, claimed:",
                    *figures.markdown(),
                ]
            )
        )
        if figures.reads.unread:
            terminal.print(f"{table} is compared by eye: {figures.reads.unread}")
        each = verdicts.compared(figures, found[table], family)
        told += each
        terminal.block("\n".join(_outside(each)))
    held = not verdicts.refuted(told)
    said = f"{family} of {len(told)} figures compared" if told else "its commands have ended well"
    if rest := verdicts.unsaid(told):
        said += f"; not compared are {rest}"
    verdict = "holds" if held else "does NOT hold"
    then = f"{pages.budget(spent / 60)}, and {pages.budget(claim.budget)} when it was measured"
    terminal.print(f"{name}: {verdict} ({said}); {then}")
    return held


def renewed(figures: Figures, found: Read) -> Figures:
    """Return a table with the figures that were read in the place of its own."""
    rows = [list(row) for row in figures.rows]
    for (row, column), (_, each) in found.items():
        rows[row][column] = filled(rows[row][column], each)
    return replace(figures, rows=tuple(map(tuple, rows)))


def _outside(found: Iterable[Verdict]) -> list[str]:
    """Return a line for each figure that is outside its interval at 95 %."""
    return [
        f"{'refuted' if each.refuted else 'outside'}: {each.row} | {each.column}: {each}"
        for each in found
        if each.outside
    ]


def measurement(ended: Sequence[Ended], terminal: Terminal) -> Measurement:
    """Return when, where and by which version commands ended, of which one may have ended long before another.

    What an earlier version did not write down is taken to be as now, and that is said.
    """
    if unknown := sum(not each.processor for each in ended):
        terminal.print(f"commands whose processor was not written down, so that this one is recorded: {unknown}")
    names = (each.processor or processor() for each in ended)
    processors = dict.fromkeys(re.sub(r"\((R|TM)\)| Processor$", "", name) for name in names)
    versions = dict.fromkeys(each.version or marl.__version__ for each in ended)
    day = max(each.day for each in ended)
    return Measurement(date=day, processor=" and ".join(processors), version=" and ".join(versions))


def record(name: str, tables: dict[str, Figures], found: dict[str, Read], spent: float, told: Measurement) -> None:
    """Write new figures into docs/measured, and when and where they were measured into docs/claims.yaml."""
    for table, figures in tables.items():
        write_text(MEASURED / f"{table}.csv", renewed(figures, found[table]).text())
    write_text(TABLE, recorded(TABLE.read_text(encoding="utf-8"), name, told, spent / 60))


def recorded(text: str, name: str, told: Measurement, minutes: float) -> str:
    """Return the table's text with a claim measured anew: `measured`, `budget`, and no `dated`."""
    entry = re.compile(rf"^  {name}:\n(?:(?:    .*)?\n)+", re.MULTILINE)
    plain = re.fullmatch(r"[A-Za-z][\w()@./ -]*", told.processor)  # such as those of Linux; others have commas
    processor = told.processor if plain else json.dumps(told.processor)
    measured = f"{{date: {told.date}, processor: {processor}, version: {told.version}}}"

    def renew(match: re.Match[str]) -> str:
        lines = re.sub(r"^    dated: .*\n", "", match[0], flags=re.MULTILINE)
        lines = re.sub(r"^    measured: .*$", lambda _: f"    measured: {measured}", lines, flags=re.MULTILINE)
        return re.sub(r"^    budget: .*$", f"    budget: {minutes:.2g}", lines, flags=re.MULTILINE)

    return entry.sub(renew, text, count=1)


def page(claims: Claims, terminal: Terminal) -> int:
    """Write the pages from the claims."""
    for path in pages.pages():
        before = path.read_text(encoding="utf-8")
        after = pages.written(before, claims)
        if after != before:
            write_text(path, after)
            terminal.print(f"written: {path}")
    return 0


def check(claims: Claims, names: list[str], terminal: Terminal) -> int:
    """Print what does not agree: commands, figures and pages; return 1 if there is anything."""
    found = [] if names else pages.faults(claims, {path.name: path.read_text("utf-8") for path in pages.pages()})
    for name, claim in (chosen(claims, names) if names else claims.claims).items():
        try:
            commands.check(claim)
            for table in claim.tables:
                list(figures_of(claim, table).sources())
        except UserError as error:
            found.append(f"the claim '{name}': {error}")
    terminal.block("\n".join(found or ["claims, commands and pages agree"]))
    return bool(found)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the command that runs is ended, too
    sys.exit(main())
