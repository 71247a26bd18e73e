"""People as players: their ids, and the stores that hold their games.

A game that a person played is stored like one of a tournament, by the game's name below `persons/` in the folder of the
page: `marl tournament rate` and `report` read it. A game in which the person was helped is stored without a result, and
with a note for each help.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from games.contract import Spec
from games.errors import RunFailed, UserError, written
from games.registry import make
from marl.agents.entrants import Identity
from marl.agents.references import PERSON
from marl.base.digests import digest
from marl.base.files import refuse_links
from tournaments.playback.moves import play_back
from tournaments.records import provenance
from tournaments.records.fixture import Fixture
from tournaments.records.played import Note, PlayedGame, StoredAgent
from tournaments.records.store import STORE, Store
from tournaments.web.table import Line

FOLDER = "persons"  # below the folder of the page
ASSISTED = "assisted"  # the kind of a note
LONGEST_NAME = 40  # letters
_NAME = re.compile(r"\w[\w .'\-]*")
_PLAIN = re.compile(r"[\w.]+(:[\w.]+)?")


def person(name: str) -> Identity:
    """Return who a person is; raises UserError for a name that is none."""
    plain = " ".join(name.split())
    if not _NAME.fullmatch(plain) or len(plain) > LONGEST_NAME:
        raise UserError(
            f"expected a name of at most {LONGEST_NAME} letters, digits, spaces, dots and dashes, got {written(name)}; "
            "choose another"
        )
    id = f"{PERSON}{plain}"
    return Identity(id, id, id, draws=0)


def is_person(agent: Identity) -> bool:
    """Return whether a seat is held by a person."""
    return agent.digest.startswith(PERSON)


def folder_of(folder: Path, game: str) -> Path:
    """Return where people's games of a game are stored, below the folder of the page."""
    plain = game.replace(":", "_")
    short = re.sub(r"[^\w.]+", "_", plain)[:40].strip("_")
    return folder / FOLDER / (plain if _PLAIN.fullmatch(game) else f"{short}-{digest(game)[:8]}")


def record(line: Line, seats: Sequence[Identity], notes: Sequence[Note]) -> PlayedGame:
    """Return a game that was played to its end, as a tournament would record it; raises RunFailed for one that was not.

    A game in which a person was helped, as `notes` say, has no result: it is not rated.
    """
    venv = make(line.game, 1)
    fixture = Fixture(line.game, tuple(agent.digest for agent in seats), line.seed)
    moves = np.array(line.moves, np.int32).tobytes()
    nothing = (0.0,) * venv.spec.num_players
    (again,) = play_back(venv, [PlayedGame(fixture, nothing, "finished", len(line.moves), moves)])
    if again.fault or not again.over:
        raise RunFailed(f"the game cannot be stored: {again.fault or 'it is not over'}; play it to its end")
    ended = "no_contest" if notes else "truncated" if again.truncated else "finished"
    return PlayedGame(fixture, again.payoffs, ended, again.length, moves, again.rounding, (), tuple(notes))


def keep(folder: Path, spec: Spec, game: PlayedGame, seats: Sequence[Identity]) -> Path:
    """Store a game that a person played; return the store's folder."""
    home = folder_of(folder, game.fixture.game)
    refuse_links(folder / FOLDER)
    with Store(home / STORE, create=True) as store:
        if store.get("game") is None:
            store.set("spec", spec.to_json())
            store.set("game", game.fixture.game)  # last: a store that names its game has all other facts
        store.add_agents(StoredAgent(agent.digest, agent.name, agent.reference) for agent in seats)
        provenance.record(store, game.fixture.game, seats)
        store.add([game])
    return home
