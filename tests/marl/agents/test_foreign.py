import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from games.errors import RunFailed, UserError
from games.registry import make
from marl.agents import foreign
from marl.agents.foreign import ForeignAgent
from marl.agents.load import load_entrant
from marl.rollout.agent import Stateless
from marl.rollout.loop import play_episodes
from marl.rollout.referee import told
from marl.rollout.types import AgentFailed, View
from tests.bots import Bad, Counting, First, Looking

ROOT = Path(__file__).parents[3]
TIC_TAC_TOE = "openspiel:tic_tac_toe"
SPEC = make(TIC_TAC_TOE, 1).spec


def duels(agents, seconds=foreign.DECISION_SECONDS, num_envs=64, rows=1):
    """Let each agent play `rows` episodes as the second player, all at once; return the episodes in that order."""
    roster = [First(), *(ForeignAgent(f"tests.bots:{text}", SPEC, seconds) for text in agents)]
    seatings = np.repeat([[0, k] for k in range(1, len(roster))], rows, axis=0)
    streams = np.arange(len(roster), dtype=np.uint64)
    try:
        found = play_episodes(
            make(TIC_TAC_TOE, min(num_envs, len(seatings))),
            roster,
            streams,
            np.arange(len(seatings), dtype=np.uint64),
            seatings,
            forfeits=True,
        )
        return sorted(found, key=lambda episode: episode.index)
    finally:
        for agent in roster[1:]:
            agent.close()


HARMLESS = ("whole", "print", "stderr", "fork", "fork-return", "folder", "kill-parent", "interrupt-parent", "thread")
LEFT_BEHIND = (
    "fork",
    "fork-return",
    "folder",
    "kill-parent",
    "interrupt-parent",
    "thread",
    "memory",
    "tracer",
    "garbage",
)
ILLEGAL = {"nan": "chose nan", "float": "chose 1.5", "u64": f"chose {2**64 - 1}", "negative": "chose -99"}
FAILS = {
    "raise": "raised ValueError: no",
    "exit": "raised SystemExit: 0",
    "bye": "raised SystemExit: bye",
    "interrupt": "raised KeyboardInterrupt",
    "generator-exit": "raised GeneratorExit",
    "stop-iteration": "raised StopIteration",
    "memory-error": "raised MemoryError",
    "memory": "raised MemoryError",
    "recursion": "raised RecursionError: maximum recursion depth exceeded",
    "speechless": "raised Speechless",
    "long": f"raised ValueError: {'x' * 100}",
    "escapes": "raised ValueError: \\x1b[31mred\\u202egreen",
    "huge": "raised ValueError: expected numbers as actions, got object of shape (1,)",
    "words": "raised ValueError: expected numbers as actions, got <U1 of shape (1,)",
    "complex": "raised ValueError: expected numbers as actions, got complex128 of shape (1,)",
    "shape": "raised ValueError: expected actions of shape (1,), got float64 of shape (1, 7)",
    "triple": "raised ValueError: too many values to unpack",
    "nothing": "raised TypeError: cannot unpack non-iterable int object",
    "mask": "raised ValueError: assignment destination is read-only",
    "row": "raised ValueError: assignment destination is read-only",
    "player": "raised ValueError: assignment destination is read-only",
    "obs": "raised ValueError: assignment destination is read-only",
    "tracer": "raised ZeroDivisionError: division by zero",
    "garbage": "sent an answer that cannot be read",
    "refuse": "sent an answer that cannot be read",  # it is built already; a refusal would end the tournament
    "os-exit": "stopped because its process ended with exit code 0",
    "fork-exit": "stopped because its process ended with exit code 0",
    "close": "stopped because its process ended with exit code 1",
    "crash": "stopped because its process was ended by SIGSEGV",
    "abort": "stopped because its process was ended by SIGABRT",
    "kill-group": "stopped because its process was ended by SIGKILL",
}


def test_whatever_an_agent_does_costs_it_its_own_game(monkeypatch, capfd):
    """Every way to misbehave sits in one batch; nobody's game is another than it would be alone."""
    monkeypatch.setattr(foreign, "MOST_MEMORY", 1 << 30)
    before = Path.cwd(), signal.getsignal(signal.SIGTERM), os.getpid()
    ways = [*HARMLESS, *ILLEGAL, *FAILS]
    # What leaves nothing behind in its process shares one: to start a process is most of this test's time.
    apart = [how for how in ways if how in LEFT_BEHIND or FAILS.get(how, "").startswith("stopped")]
    shared = [how for how in ways if how not in apart]
    agents = [f"BadByEnvironment(ways='{' '.join(shared)}')", *(f"Bad(how={how})" for how in apart), "First"]
    *played, healthy = duels(agents, rows=[len(shared), *[1] * len(apart), 1])
    assert capfd.readouterr().out == ""  # what they print is no output of ours
    assert (Path.cwd(), signal.getsignal(signal.SIGTERM), os.getpid()) == before
    assert not healthy.forfeits and healthy.length > 4
    for how, episode in zip(shared + apart, played, strict=True):
        if how in HARMLESS:
            assert not episode.forfeits and episode.moves.tolist() == healthy.moves.tolist(), how
            continue
        assert [forfeit.player for forfeit in episode.forfeits] == [1] and episode.length == 2, how
        [forfeit] = episode.forfeits
        assert forfeit.how == ("illegal_action" if how in ILLEGAL else "agent_error")
        assert forfeit.detail.startswith({**ILLEGAL, **FAILS}[how]), (how, forfeit.detail)
        assert len(forfeit.detail) <= 300 and forfeit.detail.isprintable()


def test_who_does_not_answer_loses_by_time():
    """They never answer: a short limit decides nothing, and who takes its time elsewhere is not here."""
    for episode in duels([f"Bad(how={how})" for how in ("sleep", "spin", "deaf", "stop")], seconds=0.3):
        [forfeit] = episode.forfeits
        assert (forfeit.how, forfeit.detail) == ("timeout", "took longer than 0.3 s to answer")


def test_where_an_agent_fails_to_begin():
    """An agent may fail before its first decision, too: that is when it loses."""
    ways = {
        "Bad(how=raise, where=begin)": "raised ValueError: no",
        "Bad(how=exit, where=begin)": "raised SystemExit: 0",
        "Bad(how=os-exit, where=begin)": "stopped because its process ended with exit code 0",
        "Bad(how=none, where=list)": "raised TypeError: expected hidden states as an array or a tensor, got list",
        "Bad(how=none, where=shape)": "raised ValueError: expected hidden states of 1 rows, got 2",
    }
    healthy, *failed = duels(["First", *ways])
    assert not healthy.forfeits
    for detail, episode in zip(ways.values(), failed, strict=True):
        [forfeit] = episode.forfeits
        assert (forfeit.player, forfeit.how, forfeit.detail, episode.length) == (1, "agent_error", detail, 2)


@pytest.mark.parametrize(("agent", "rows"), [("Moody", 12), ("Dying", 6)])
def test_a_batch_loses_only_the_rows_that_fail(agent, rows):
    """`Moody` raises at a quarter of its decisions, `Dying` ends its process there."""
    together = duels([agent], rows=rows)
    assert 0 < sum(bool(episode.forfeits) for episode in together) < rows
    alone = duels([agent], rows=rows, num_envs=1)
    assert [e.moves.tolist() for e in alone] == [e.moves.tolist() for e in together]
    assert [e.forfeits for e in alone] == [e.forfeits for e in together]


def test_what_a_decision_says_of_its_rows_travels():
    venv, agent = make(TIC_TAC_TOE, 3), ForeignAgent("tests.bots:Telling", SPEC)
    try:
        view = View.of(SPEC, venv.states(np.arange(3)), np.arange(3, dtype=np.uint64), first=True)
        decision, _ = agent.act(view, None)
    finally:
        agent.close()
    assert {row: (failure.how, failure.detail) for row, failure in decision.failed.items()} == {
        2: ("timeout", "was tired")
    }
    assert decision.notes == dict.fromkeys(range(3), '"so it is"')


def test_what_a_decision_says_must_be_what_it_can_say():
    found = duels([f"Telling(what={what})" for what in ("rows", "how", "late", "note")])
    said = [[(f.how, f.detail) for f in episode.forfeits] for episode in found]
    assert said[0] == [("timeout", "was tired")] and said[1] == [("agent_error", "sent an answer that cannot be read")]
    assert said[2][0][1].startswith("raised ValueError: expected AgentFailed of rows 0 to 0")
    assert said[3][0][1].startswith("raised JSONDecodeError: ")


@pytest.mark.parametrize("kind", ["numpy", "torch", "objects"])
def test_hidden_states_travel(kind):
    here = played([First(), Counting(kind)])
    there = played([First(), ForeignAgent(f"tests.bots:Counting(kind={kind})", SPEC)])
    assert here == there and len({str(moves) for moves in here}) == 1


def played(roster):
    """Return the moves of a few episodes of two agents."""
    seeds, streams = np.arange(6, dtype=np.uint64), np.arange(2, dtype=np.uint64)
    found = play_episodes(make(TIC_TAC_TOE, 3), roster, streams, seeds, np.array([[0, 1]] * 6), forfeits=True)
    moves = {episode.index: (episode.moves.tolist(), episode.forfeits) for episode in found}
    return [moves[index] for index in range(6)]


@pytest.mark.parametrize("game", [TIC_TAC_TOE, "tests.games.plugin:Nim"])
def test_positions_travel(game):
    spec = make(game, 1).spec
    agent = ForeignAgent("tests.bots:Looking", spec)
    venv = make(game, 4)
    timestep = venv.reset(np.arange(4, dtype=np.uint64))
    everyone = np.arange(4)
    player = timestep.acting.argmax(1)
    view = View(
        timestep.obs[everyone, player],
        timestep.action_mask[everyone, player],
        player,
        everyone,
        np.ones(4, bool),
        np.arange(4, dtype=np.uint64),
        lambda: venv.states(everyone),
    )
    expected = Looking().act(view, None)[0].action
    assert agent.act(view, None)[0].action.tolist() == expected.tolist()
    agent.close()
    assert agent.act(view, None)[0].action.tolist() == expected.tolist()  # in another process
    unsendable = View(**(vars(view) | {"states": lambda: [lambda: None]}))
    with pytest.raises(RunFailed, match=r"the positions of '.*' cannot be sent to the process of 'tests.bots:Looking'"):
        agent.act(unsendable, None)
    broken = View(**(vars(view) | {"states": lambda: [][0]}))
    with pytest.raises(RunFailed, match=r"positions of '.*' cannot be sent .*IndexError: list index out of range"):
        agent.act(broken, None)
    agent.close()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "'tests.bots:Bad.*' could not be built: ValueError: no"),
        ("exit", "could not be built: it raised SystemExit: 0; mend it"),
        ("os-exit", "could not be built: it stopped because its process ended with exit code 0; mend it"),
    ],
)
def test_who_fails_to_be_built_is_refused(how, said):
    with pytest.raises(UserError, match=said) as refused:
        load_entrant(f"tests.bots:Bad(how={how}, where=init)", SPEC)
    assert refused.value.exit_code == 2


def test_who_cannot_be_looked_at_is_refused():
    with pytest.raises(
        UserError, match=r"'tests.bots:Shy' could not be built: it raised ValueError: do not look; mend it"
    ):
        load_entrant("tests.bots:Shy", SPEC)


@pytest.fixture
def changing(tmp_path, monkeypatch):
    """The file of an agent whose process ends when it is asked, and its reference."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "changing_bot.py"
    path.write_text(
        textwrap.dedent(
            """
            from marl.rollout.agent import Stateless
            from marl.rollout.types import Decision
            class Bot(Stateless):
                def act(self, view, hidden):
                    return Decision(view.action_mask.argmax(1)), None
            """
        )
    )
    return path, "changing_bot:Bot"


def test_an_agent_whose_code_changes_while_it_plays(changing):
    path, reference = changing
    agent = ForeignAgent(reference, SPEC)
    assert agent.initial_hidden(1) is None
    path.write_text(path.read_text() + "# another\n")
    assert agent.initial_hidden(1) is None  # what was imported plays on
    agent.close()
    with pytest.raises(RunFailed, match="the agent 'changing_bot:Bot' changed while it was being played"):
        agent.initial_hidden(1)
    agent.close()


def test_our_process_never_imports_theirs(changing):
    load_entrant(changing[1], SPEC).rest()
    assert "changing_bot" not in sys.modules


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_no_process_is_left_behind(tmp_path):
    """Not by an agent that hangs and has started others, when its parent is killed."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os
            from games.registry import make
            from marl.agents.foreign import ForeignAgent
            agent = ForeignAgent("tests.bots:Bad(how=sleep, where=begin)", make("{TIC_TAC_TOE}", 1).spec)
            print(agent._channel._process.pid, flush=True)
            agent.initial_hidden(1)
            """
        )
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        shield = int(parent.stdout.readline())
        [child] = Path(f"/proc/{shield}/task/{shield}/children").read_text().split()
        parent.kill()
    for pid in (shield, int(child)):
        while alive(pid):  # its end is on its way, and nothing else ends this loop
            pass


def test_nothing_that_an_agents_process_sends_is_unpickled():
    said = {"kind": "done", "request": 1, "sizes": [3]}
    assert foreign._unpacked(json.dumps(said).encode() + b"\nabc") == (said, [b"abc"])
    for nonsense in (
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"kind": "done", "sizes": [4]}\nabc',
        b'{"kind": 1, "sizes": []}\n',
    ):
        with pytest.raises((LookupError, TypeError, ValueError)):
            foreign._unpacked(nonsense)


def test_told_is_one_printable_line():
    assert told("a\n\tb\x1b[31m\u200b\u202e") == "a b\\x1b[31m\\u200b\\u202e"
    assert len(told("x" * 10**6)) == 300 and "…" in told("x" * 10**6)
    assert len(told("\x1b" * 10**6)) == 300


def test_in_one_process_a_failure_is_a_forfeit_too():
    """Who hands agents of their own to `play_episodes` plays them in this process, under the same referee."""

    class Here(Stateless):
        def initial_hidden(self, rows):
            raise AgentFailed("timeout", "took longer than 1 s to answer")

    for agent, how in ((Here(), "timeout"), (Bad("raise"), "agent_error"), (Bad("raise", "begin"), "agent_error")):
        assert {f.how for _, forfeits in played([First(), agent]) for f in forfeits} == {how}
