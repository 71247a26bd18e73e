"""What `marl population` prints of a population: its status, its lineage, and the games of two members."""

from collections.abc import Mapping, Sequence
from typing import Any

from marl.base.terminal import Terminal
from tournaments.populations.files import Member
from tournaments.populations.history import NOTHING, History, with_error
from tournaments.records.store import STORE, stored
from tournaments.reports.report import print_table

MOST_GAMES = 20  # that are printed; --json has all


def print_status(console: Terminal, history: History[Any]) -> None:
    """Print how far a population is, and a line for each member: the newest last."""
    console.print(
        f"{history.folder}: {history.config.method} at {history.game}, round {history.rounds_over} of "
        f"{history.rounds}; {history.doing}"
    )
    if history.headline:
        console.print(history.headline)
    rows = []
    for member in history.members:
        name = f"{member.id}, {member.reference}" if member.reference else member.id
        steps = f"{member.step:,}" if member.step else NOTHING
        rows.append([name, str(member.round), steps, *history.row(member), member.digest[:8]])
    print_table(console, ("member", "round", "steps", *history.titles, "digest"), rows, name="member")
    for text in history.diverged:
        console.print(text)


def print_lineage(console: Terminal, history: History[Any], members: Sequence[Member]) -> None:
    """Print for each member where it came from."""
    for member in members:
        console.print(f"{member.id} ({member.role}, round {member.round}): {history.made_by(member)}")
        if rows := history.descent(member):
            titles = history.descent_columns
            print_table(console, titles, rows, name=titles[0])


def games_of(history: History[Any], member: Member, other: Member) -> dict[str, Any]:
    """Return what two members were paid against each other, by seat, and their games in the order of their seeds."""
    names = history.name
    games: list[dict[str, Any]] = []
    if (history.folder / STORE).exists():
        with stored(history.folder / STORE) as store:
            games = [
                {
                    "id": game.fixture.id,
                    "seed": game.fixture.seed,
                    "agents": [names[agent] for agent in game.fixture.agents],
                    "payoffs": list(game.payoffs),
                    "termination": game.termination,
                    "length": game.length,
                }
                for game in store.games((member.digest, other.digest))
                if set(game.fixture.agents) == {member.digest, other.digest}
            ]
    return {"members": [member.id, other.id], "cells": history.cells(member, other), "games": games}


def print_matches(console: Terminal, found: Mapping[str, Any]) -> None:
    """Print what two members were paid, and their first games."""
    first, second = found["members"]
    for cell in found["cells"]:
        paid = with_error(cell["payoff"], cell["error"], cell["games"])
        console.print(f"{first} in seat {cell['seat']} against {second}: {paid} ({cell['games']} games)")
    rows = [
        [
            f"{game['seed']:016x}",
            " – ".join(game["agents"]),
            " ".join(f"{paid:+g}" for paid in game["payoffs"]),
            str(game["length"]),
            game["termination"],
        ]
        for game in found["games"][:MOST_GAMES]
    ]
    if rows:
        print_table(console, ("seed", "seats", "payoffs", "steps", "end"), rows, name="seats")
    more = len(found["games"]) - len(rows)
    if more > 0:
        console.print(f"and {more} games more; --json has all")
