"""The games of a tournament one by one: `games.csv`, and `games.html` with the games of each pairing of a small one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from games.contract import Teams
from games.text import csv_line
from tournaments.records.fixture import by_team
from tournaments.records.played import Game
from tournaments.records.store import Store
from tournaments.reports.page import page
from tournaments.reports.pairs import SHADES

PAGE, TABLE = "games.html", "games.csv"
MOST_LISTED, MOST_WRITTEN = 2000, 100_000  # games on a page; games in the CSV


@dataclass(frozen=True)
class Pairing:
    """The games of the same agents, whatever their seats; `anchor` is its place on the page."""

    agents: tuple[str, ...]
    anchor: str
    games: list[Game]


def games_of(store: Store) -> list[Game] | None:
    """Return all games of a store in the order of their seeds, those without a result too; None where they are many."""
    return list(store.listed()) if len(store) <= MOST_WRITTEN else None


def pairings(games: Sequence[Game], order: Sequence[str], teams: Teams = ()) -> list[Pairing]:
    """Return the games by pairing, agents and pairings in an order, which is the leaderboard's; none of too many games.

    Agents without a place in it come last. With `teams`, an agent that holds all seats of a team is there once.
    """
    if len(games) > MOST_LISTED:
        return []
    place: Mapping[str, int] = {agent: k for k, agent in enumerate(order, start=1)}
    found: dict[tuple[str, ...], list[Game]] = {}
    for game in games:
        seats = sorted(
            by_team(game.agents, teams) or game.agents, key=lambda agent: (place.get(agent, len(place) + 1), agent)
        )
        found.setdefault(tuple(seats), []).append(game)
    ranked = sorted(found, key=lambda agents: ([place.get(agent, len(place) + 1) for agent in agents], agents))
    return [Pairing(agents, f"pairing-{k}", found[agents]) for k, agents in enumerate(ranked, start=1)]


def games_page(title: str, found: Sequence[Pairing], report: str) -> str:
    """Return a page with the games of each pairing; `report` is the file of the report's page."""
    template = Path(__file__).with_name("games.html.j2")
    return page(template, title=title, pairings=found, paid=paid, report=report, shades=SHADES)


def paid(game: Game) -> str:
    """Return the payoffs by seat; a dash where a forfeit left one open."""
    return " : ".join("—" if payoff is None else f"{payoff:g}" for payoff in game.payoffs)


def csv_of_games(games: Sequence[Game], num_players: int) -> Iterator[str]:
    """Yield the lines of `games.csv`: a line for each game, the agents and their payoffs by seat."""
    seats = range(num_players)
    titles = ["id", "seed", *(f"agent_{s}" for s in seats), *(f"payoff_{s}" for s in seats), "termination", "length"]
    yield ",".join(titles) + "\n"
    tables: dict[tuple[str, ...], str] = {}  # many games have the same seats, and the same payoffs
    payoffs: dict[tuple[float | None, ...], str] = {}
    for game in games:
        if game.agents not in tables:
            tables[game.agents] = csv_line(game.agents)
        if game.payoffs not in payoffs:
            payoffs[game.payoffs] = ",".join("" if payoff is None else repr(payoff) for payoff in game.payoffs)
        yield (
            f"{game.id},{game.seed},{tables[game.agents]},{payoffs[game.payoffs]},{game.termination},{game.length}\n"
        )
