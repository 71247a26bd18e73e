"""A language model as an agent, on a local server with recorded and faulty answers."""

import json
import logging
import sqlite3
import threading

import numpy as np
import pytest

import marl
from games.errors import RunFailed, UserError
from games.registry import make
from marl.agents.chat import agent as chat_agent
from marl.agents.chat import server as chat_server
from marl.agents.chat.cache import Answer, Answers
from marl.agents.load import load_entrant
from marl.agents.references import not_to_run
from marl.rollout.loop import play_episodes
from marl.rollout.referee import Referee
from marl.rollout.types import View
from tests.chat_server import DROP, Faulty, completion, first_legal, serving

TTT, FOUR, GOOFSPIEL = "openspiel:tic_tac_toe", "openspiel:connect_four", "openspiel:goofspiel(num_cards=3)"
JSON = {"content-type": "application/json"}
CUT = Faulty(body=completion("I th", finish="length"), headers=JSON)


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """An empty working folder, no waiting between tries, and no variables of the client."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chat_server, "PAUSE", 0.001)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def entered():
    """Load agents, and let them rest at the end."""
    entrants = []

    def enter(server, game=TTT, **arguments):
        written = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        url = server if isinstance(server, str) else server.url
        entrants.append(load_entrant(f"chat(model=m, url={url}, {written})".replace(", )", ")"), make(game, 1).spec))
        return entrants[-1]

    yield enter
    for entrant in entrants:
        entrant.rest()


def opening(rows, game=TTT, keys=None):
    """The view of the first mover at the beginning of a game, in several rows."""
    spec, state = make(game, 1).spec, make(game, 1)
    state.reset(np.zeros(1, np.uint64))
    position = state.states(np.array([0]))[0]
    keys = np.arange(rows, dtype=np.uint64) if keys is None else keys
    return View.of(spec, [position] * rows, keys, first=True)


def asked_of(view, agent, spec):
    """Let a referee watch one decision; return it and the forfeits by row."""
    referee = Referee(spec)
    decision, _ = referee.watch(agent).act(view, None)
    return decision, {row: forfeits[0] for row, forfeits in referee.take(1).items()}


# What is sent.


def test_what_a_model_is_told(entered):
    with serving(first_legal) as server:
        decision, _ = entered(server, temperature=0.5, max_tokens=99, options={"top_k": 3}).agent.act(opening(1), None)
        (asked,) = server.asked
    assert decision.action.tolist() == [0] and not decision.failed
    assert asked.path == "/v1/chat/completions"
    assert (asked.body["model"], asked.body["temperature"], asked.body["max_tokens"], asked.body["top_k"]) == (
        "m", 0.5, 99, 3,
    )  # fmt: skip
    told = asked.body["messages"][0]["content"]
    assert told.startswith("You are playing the game openspiel:tic_tac_toe as player 0;") and "...\n...\n..." in told
    assert asked.moves == [f"x({row},{column})" for row in range(3) for column in range(3)]


@pytest.mark.parametrize("player", [0, 1])
def test_a_player_is_told_what_it_may_see(player, entered):
    """In Kuhn poker that is its own card, and the bets."""
    told = []
    with serving(lambda asked: told.append(asked) or "Final answer: Pass") as server:
        chat = f"chat(model=m, url={server.url}, cache=None)"
        agents = [chat, "random"] if player == 0 else ["random", chat]
        marl.play("openspiel:kuhn_poker", agents, episodes=6)
    seen = {asked.body["messages"][0]["content"].partition("see now:\n\n")[2].partition("\n")[0] for asked in told}
    assert len({line[0] for line in seen}) > 1 and all(set(line[1:]) <= set("pb") for line in seen)


def test_a_game_without_positions_is_told_by_its_numbers_and_words():
    with serving(lambda asked: f"Final answer: {asked.moves[-1]}") as server:
        chat = f"chat(model=m, url={server.url}, cache=None)"
        played = marl.play("matrix(game=prisoners_dilemma, steps=2, memory=true)", [chat, "always_cooperate"])
    assert (played.moves[0][:, 0] == 1).all()
    assert server.asked[0].moves == ["0", "1"]
    assert "numbers:\n" in server.asked[0].body["messages"][0]["content"]


def test_a_key_goes_to_its_server_alone(monkeypatch, entered):
    """The client by itself would send these to whatever address it is given."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, f"secret of {name}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-mine: secret of mine\nauthorization: Bearer secret")
    monkeypatch.setenv("MINE", "key of mine")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nothing listens there
    with serving(first_legal) as server, serving(first_legal) as other:
        entered(other, key="MINE").agent.act(opening(1), None)
        entered(server).agent.act(opening(1), None)
        assert other.asked[0].headers["authorization"] == "Bearer key of mine"
        (asked,) = server.asked
    assert "authorization" not in asked.headers and "secret" not in json.dumps([asked.headers, asked.body])
    assert set(asked.headers) <= set(chat_server.SENT)


def test_a_redirection_is_not_followed(monkeypatch, entered):
    monkeypatch.setenv("MINE", "key of mine")
    with serving(first_legal) as other:
        moved = Faulty(307, headers={"location": f"{other.url}/chat/completions"})
        with serving(lambda _: moved) as server, pytest.raises(RunFailed, match="sends requests on to http://127"):
            entered(server, key="MINE").agent.act(opening(1), None)
        assert not other.asked


def test_a_server_elsewhere_is_named_once(caplog, entered, monkeypatch):
    monkeypatch.setenv("MINE", "1")
    chat_agent._say_who_reads.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            entered("https://llm.test/v1", key="MINE")
        entered("http://localhost:1/v1")
        entered("http://llm.test/v1", key="MINE")
    assert caplog.messages == [
        "note: what chat's players see is sent to https://llm.test/v1, with the key in MINE",
        "note: what chat's players see is sent to http://llm.test/v1, with the key in MINE, all of it unencrypted",
    ]


# Answers, and faults of them.


def test_an_illegal_answer_is_asked_again_with_what_was_wrong(entered):
    answers = iter(["Final answer: x(9,9)", "no idea", "", "Final answer: x(1,1)"])
    with serving(lambda _: next(answers)) as server:
        decision, _ = entered(server, attempts=4).agent.act(opening(1), None)
        last = server.asked[-1].body["messages"]
    assert decision.action.tolist() == [4] and not decision.failed
    assert [message["role"] for message in last] == ["user", "assistant"] * 3 + ["user"]
    assert last[2]["content"].startswith("Your answer names 'x(9,9)', which is none of the legal moves.")
    assert "'no idea'" in last[4]["content"] and last[6]["content"].startswith("Your answer has no line that begins")
    said = json.loads(decision.notes[0])
    assert said["messages"] == [*last, {"role": "assistant", "content": "Final answer: x(1,1)"}]
    assert said["tokens"] == [400, 40]


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        ("Final answer: x(9,9)", "named no legal move in 2 answers; the last named 'x(9,9)'"),
        ('{"move": 3', "named no legal move in 2 answers; the last named '{\"move\": 3'"),
        ("", "named no legal move in 2 answers; the last was empty"),
        ("<think>hm</think>", "named no legal move in 2 answers; the last could not be read"),
        (CUT, "named no legal move in 2 answers; the last was cut off"),
    ],
)
def test_no_legal_move_forfeits(reply, detail, entered):
    with serving(lambda _: reply) as server:
        entrant = entered(server, attempts=2)
        decision, forfeits = asked_of(opening(1), entrant.rated(), make(TTT, 1).spec)
        assert len(server.asked) == 2
    assert (forfeits[0].how, forfeits[0].detail) == ("illegal_action", detail)
    assert decision.action.tolist() == [0]


def test_one_failing_row_of_64_asks_64_rows_once(entered):
    """Nobody is asked, and billed, again for another's fault."""
    lock, numbers = threading.Lock(), iter(range(1000))

    def reply(asked):
        with lock:
            number = next(numbers)
        return "Final answer: none" if number == 17 else first_legal(asked)

    with serving(reply) as server:
        entrant = entered(server, attempts=1, parallel=8)
        decision, forfeits = asked_of(opening(64), entrant.rated(), make(TTT, 1).spec)
        assert len(server.asked) == 64 and server.most <= 8
    assert len(forfeits) == 1 and (decision.action == 0).all()
    assert next(iter(forfeits.values())).detail == "named no legal move in its answer, which named 'none'"


def test_requests_are_open_side_by_side(entered):
    gate = threading.Barrier(4)

    def reply(asked):
        gate.wait(30)  # broken unless four are open together
        return first_legal(asked)

    with serving(reply) as server:
        entered(server, parallel=4).agent.act(opening(8), None)
        assert server.most == 4


def test_a_slow_server_forfeits_by_time(entered):
    with serving(lambda _: Faulty(seconds=60)) as server:
        entrant = entered(server, seconds=0.2)
        _, forfeits = asked_of(opening(2), entrant.rated(), make(TTT, 1).spec)
        assert len(server.asked) <= 2
    assert {(f.how, f.detail) for f in forfeits.values()} == {("timeout", "took longer than 0.2 s to answer")}


# Faults of a server that are nobody's forfeit.


def faults_then(*faults):
    left = list(faults)
    lock = threading.Lock()

    def reply(asked):
        with lock:
            return left.pop(0) if left else first_legal(asked)

    return reply


@pytest.mark.parametrize(
    "faults",
    [
        [DROP, DROP],
        [Faulty(429, headers={"retry-after": "0"}), Faulty(503), Faulty(500)],
        [Faulty(body="<html>", headers={"content-type": "text/html"})],
        [Faulty(body="{", headers=JSON), Faulty(body="{}", headers=JSON), Faulty(body="[]", headers=JSON)],
    ],
    ids=["dropped", "busy", "no JSON", "no completion"],
)
def test_what_passes_is_waited_for(faults, entered):
    with serving(faults_then(*faults)) as server:
        decision, _ = entered(server).agent.act(opening(1), None)
        assert len(server.asked) == len(faults) + 1
    assert decision.action.tolist() == [0] and not decision.failed


@pytest.mark.parametrize(("asked", "pause"), [("7", 7.0), ("9999", 120.0), ("soon", 0.5), ("", 0.5)])
def test_retry_after(asked, pause, monkeypatch):
    monkeypatch.setattr(chat_server, "PAUSE", 0.5)

    class Busy(Exception):
        status_code = 429

        class response:
            headers = {"retry-after": asked}

    assert chat_server._pause(chat_server.Server("http://localhost/v1", "m"), Busy(), 1) == pause


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Faulty(401, '{"error": {"message": "wrong: key of mine"}}', JSON), "refuses the key in 'MINE' (401: "),
        (Faulty(403), "refuses the key in 'MINE' (403: "),
        (Faulty(404, '{"error": {"message": "no such model"}}', JSON), "knows no model 'm', or no such address ("),
        (Faulty(400, '{"error": {"message": "too long"}}', JSON), "refuses a request (400: "),
        (Faulty(429, '{"error": {"message": "pay", "code": "insufficient_quota"}}', JSON), "refuses a request (429: "),
        (Faulty(503), "is busy (503), 8 times in a row; try later"),
        (DROP, "does not answer ("),
        (Faulty(body="hello"), "does not answer (ValueError: its answer has no choices), 4 times in a row"),
    ],
)
def test_what_does_not_pass_ends_the_run_in_a_sentence(reply, said, monkeypatch, entered):
    monkeypatch.setenv("MINE", "key of mine")
    with serving(lambda _: reply) as server, pytest.raises(RunFailed) as failed:
        asked_of(opening(3), entered(server, key="MINE").rated(), make(TTT, 1).spec)
    assert str(failed.value).startswith(f"the server {server.url} {said}") and failed.value.exit_code == 1
    assert "key of mine" not in str(failed.value) and "run again to go on" in str(failed.value)


def test_nobody_listens(entered):
    with serving(first_legal) as server:
        url = server.url
    with pytest.raises(RunFailed, match=r"does not answer \(ConnectError: .*; see whether it runs, and whether url="):
        entered(url).agent.act(opening(1), None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("url=http://localhost/v1", "'chat' needs the argument 'model'"),
        ("model=m", "'chat' needs the argument 'url'"),
        ("model=m, url=localhost:8000", "expected url of 'chat' as http(s)://HOST:PORT/v1, got 'localhost:8000'"),
        ("model=m, url=http://user:pw@x/v1", "expected url of 'chat' as"),
        ("model=m, url=http://x:99999/v1", "expected url of 'chat' as"),
        ("model=m, url=http://localhost/v1, key=NO_SUCH", "expected a key in the environment variable 'NO_SUCH'"),
        ("model=m, url=http://localhost/v1, tokens=0", "expected tokens of 'chat' above 0, got 0"),
        ("model=m, url=http://localhost/v1, dollars=0", "expected dollars of 'chat' above 0, got 0"),
        ("model=m, url=http://localhost/v1, dollars=1, prompt_price=1", "dollars of 'chat' needs the prices"),
        ("model=m, url=http://localhost/v1, attempts=0", "expected attempts of 'chat' to be at least 1, got 0"),
        ("model=m, url=http://localhost/v1, seconds=0", "expected seconds of 'chat' above 0"),
        ("model=m, url=http://localhost/v1, temperature=-1", "expected seconds of 'chat' above 0, and temperature"),
        ("model=m, url=http://localhost/v1, options=3", "expected options of 'chat' as names and values"),
        (
            "model=m, url=http://localhost/v1, options={'stream': True}",
            "as names and values, none of model, messages, str",
        ),
        ("model=m, url=http://localhost/v1, prompt=absent.txt", "expected a text file as prompt of 'chat'"),
        ("model=m, url=http://localhost/v1, temprature=0", "; did you mean 'temperature'?"),
    ],
)
def test_bad_arguments(arguments, said):
    with pytest.raises(UserError) as refused:
        load_entrant(f"chat({arguments})", make(TTT, 1).spec)
    assert said in str(refused.value) and refused.value.exit_code == 2


@pytest.mark.parametrize("secret", ["", " ", "sk-1\nx: y", "schlüssel"])
def test_a_key_that_is_none(secret, entered, monkeypatch):
    monkeypatch.setenv("MINE", secret)
    with pytest.raises(UserError, match="expected a key in the environment variable 'MINE', got"):
        entered("http://localhost/v1", key="MINE")


def test_other_refusals(entered, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="actions are numbers; choose another agent"):
        entered("http://localhost/v1", "gymnasium:gymnasium.Pendulum-v1")
    (tmp_path / "prompt.txt").write_text("You are x. {position}")
    with pytest.raises(UserError, match=r"without \{moves\}; write it where the moves should stand"):
        entered("http://localhost/v1", prompt="prompt.txt")
    monkeypatch.setattr(chat_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs a package that is not installed; pip install 'marl\\[chat\\]'"):
        entered("http://localhost/v1")


# The cache and the budget.


def test_what_was_asked_is_not_asked_again(entered):
    with serving(lambda asked: f"Final answer: {asked.moves[len(server.asked) % 9]}") as server:
        first = entered(server).agent.act(opening(5), None)[0]
        assert len(server.asked) == 5 and len(set(first.action.tolist())) == 5
    again = entered(server.url, parallel=1, seconds=5).agent.act(opening(5), None)[0]  # the server has gone
    assert again.action.tolist() == first.action.tolist() and again.notes == first.notes
    with pytest.raises(RunFailed):
        entered(server.url).agent.act(opening(1, keys=np.array([99], np.uint64)), None)
    with pytest.raises(RunFailed):
        entered(server.url, max_tokens=9).agent.act(opening(5), None)


def test_a_model_that_does_not_draw_is_asked_once_for_a_position(entered):
    with serving(first_legal) as server:
        decision, _ = entered(server, temperature=0).agent.act(opening(5), None)
        entered(server, temperature=0).agent.act(opening(2, keys=np.array([77, 78], np.uint64)), None)
        assert len(server.asked) == 1
    assert decision.action.tolist() == [0] * 5 and len(decision.notes) == 5


def test_failed_attempts_are_cached_too(entered):
    with serving(lambda _: "Final answer: none") as server:
        before = entered(server).agent.act(opening(1), None)[0]
        assert len(server.asked) == 3
    after = entered(server.url).agent.act(opening(1), None)[0]
    assert after.notes == before.notes and after.failed[0].detail == before.failed[0].detail


def test_a_cache_that_is_none(entered, tmp_path):
    (tmp_path / "text").write_text("x" * 9000)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE games (id)")
    other.close()
    for name, why in (("text", "not a database"), ("other.sqlite", "holds something else"), (".", "unable to open")):
        with pytest.raises(RunFailed, match=f"{why}.*name another file by cache="):
            entered("http://localhost:1/v1", cache=name).agent.act(opening(1), None)


def test_a_budget_of_tokens_is_for_all_runs_together(entered):
    with serving(first_legal) as server:
        entered(server, tokens=300).agent.act(opening(2), None)
        with pytest.raises(RunFailed, match=r"the budget of 'chat', 300 tokens, is spent; .* raise tokens="):
            entered(server, tokens=300, parallel=1).agent.act(opening(9), None)
        assert len(server.asked) == 3  # 110 tokens each
        entered(server, tokens=340).agent.act(opening(3), None)  # what is known costs nothing


def test_a_budget_of_money(entered):
    prices = {"prompt_price": 1.0, "answer_price": 10.0}  # dollars for a million: an answer costs 0.0002
    with serving(first_legal) as server:
        with pytest.raises(RunFailed, match=r"the budget of 'chat', 0\.0005 dollars, is spent"):
            entered(server, dollars=0.0005, parallel=1, **prices).agent.act(opening(9), None)
        assert len(server.asked) == 3


def test_tokens_are_estimated_where_a_server_counts_none(entered):
    data = json.loads(completion("Final answer: x(0,0)"))
    del data["usage"]
    with serving(lambda _: Faulty(body=json.dumps(data), headers=JSON)) as server:
        decision, _ = entered(server).agent.act(opening(1), None)
        prompt = server.asked[0].body["messages"][0]["content"]
    assert json.loads(decision.notes[0])["tokens"] == [-(-len(prompt) // 3), 7]


# Who it is.


def test_identity(entered, monkeypatch, tmp_path):
    monkeypatch.setenv("MINE", "1")
    (tmp_path / "prompt.txt").write_text("{moves} {position}")
    same = [
        {}, {"key": "MINE"}, {"seconds": 5.0}, {"parallel": 9}, {"tokens": 5}, {"cache": "elsewhere.sqlite"},
        {"dollars": 1.0, "prompt_price": 1.0, "answer_price": 1.0},
    ]  # fmt: skip
    others = [
        {"temperature": 0.0}, {"max_tokens": 5}, {"attempts": 2}, {"candidates": 2}, {"options": {"top_k": 1}},
        {"prompt": "prompt.txt"},
    ]  # fmt: skip
    found = [entered("http://localhost:1/v1", **arguments) for arguments in same]
    assert len({(one.digest, one.draws) for one in found}) == 1
    assert found[0].digest == entered("http://localhost:1/v1/").digest
    different = [entered("http://localhost:1/v1", **arguments) for arguments in others]
    different += [entered("http://localhost:2/v1"), found[0]]
    assert len({one.digest for one in different}) == len(others) + 2
    (tmp_path / "prompt.txt").write_text("{moves} {position}, think")
    assert entered("http://localhost:1/v1", prompt="prompt.txt").digest not in {one.digest for one in different}
    assert found[3].name == "chat(model=m)" and different[0].name == "chat(model=m, temperature=0.0)"


def test_a_file_may_not_name_a_server():
    assert not_to_run("chat(model=m, url=http://evil/v1, key=AWS_SECRET_ACCESS_KEY)") == "a server"
    assert not_to_run("random") == "" and not_to_run("tests.bots:Plays") == "code"


def test_a_prompt_of_the_users_own(entered, tmp_path):
    (tmp_path / "prompt.txt").write_text('{"be": "brief"} {player}/{players} of {game}:\n{position}\n{moves}')
    with serving(lambda _: "Final answer: x(2,2)") as server:
        entered(server, prompt="prompt.txt").agent.act(opening(1), None)
        told = server.asked[0].body["messages"][0]["content"]
    assert told.startswith('{"be": "brief"} 0/2 of openspiel:tic_tac_toe:\n...\n...\n...\nx(0,0)\n')


# As proposer and evaluator.


def test_candidates_are_the_policy(entered):
    with serving(lambda _: "Final answer: 75% x(1,1)\nFinal answer: 25% x(0,0)\nFinal answer: 9% x(9,9)") as server:
        agent = entered(server, candidates=3).agent
        view = opening(100)
        log_probs, hidden = agent.policy(view, None)
        action = agent.act(view, None)[0].action
        assert len(server.asked) == 100  # the same answers: `act` draws from the policy
    assert hidden is None and np.exp(log_probs[0]).round(2).tolist() == [0.25, 0, 0, 0, 0.75, 0, 0, 0, 0]
    assert set(action.tolist()) == {0, 4} and 0.65 < (action == 4).mean() < 0.85


def test_a_policy_of_one_candidate_is_certain_and_one_of_none_uniform(entered, caplog):
    answers = iter(["Final answer: x(1,1)", "no", "no"])
    with serving(lambda _: next(answers)) as server:
        agent = entered(server, attempts=2, temperature=0).agent
        assert np.exp(agent.policy(opening(1), None)[0])[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
        other = entered(server, attempts=2).agent
        assert np.exp(other.policy(opening(1), None)[0])[0] == pytest.approx(np.full(9, 1 / 9))
    assert [record.message for record in caplog.records if record.name.endswith("chat.agent")] == [
        "note: m named no legal move in 2 answers; the last named 'no'; all legal moves are taken to be alike, here "
        "and where it fails again"
    ]


def test_values_are_scaled_to_the_bounds_of_returns(entered, caplog):
    answers = iter(["Final answer: 100", "Final answer: 1", "Final answer: 50.5", "?", "?", "?"])
    with serving(lambda _: next(answers)) as server:
        value = entered(server, parallel=1).agent.value
        assert value(opening(4), None).tolist() == [1, -1, 0, 0]
        assert "note: m gave no value in 3 answers; the last could not be read; the position is taken" in caplog.text
        assert "from 1 to 100" not in server.asked[0].body["messages"][0]["content"]
        assert "Say how good this position is for you" in server.asked[0].body["messages"][0]["content"]


# Outside tournaments, and in a notebook.


def test_outside_tournaments_a_failure_names_the_agent():
    with serving(lambda _: "no") as server, pytest.raises(RunFailed) as failed:
        marl.play(TTT, [f"chat(model=m, url={server.url})", "random"])
    assert str(failed.value).startswith(
        "the agent 'chat(model=m)' moved illegally: it named no legal move in 3 answers"
    )


def test_a_failure_that_no_referee_takes_is_raised(entered):
    with serving(lambda _: "no") as server:
        venv, agent = make(TTT, 1), entered(server).agent
        with pytest.raises(Exception, match="named no legal move"):
            seeds = np.zeros(1, np.uint64)
            list(play_episodes(venv, [agent], seeds, seeds, np.zeros((1, 2), int)))


def test_it_plays_where_an_event_loop_runs(entered):
    import asyncio

    async def notebook():
        return entered(server).agent.act(opening(1), None)[0].action.tolist()

    with serving(first_legal) as server:
        assert asyncio.run(notebook()) == [0]


def test_the_game_of_a_batch_is_that_of_one(entered):
    """Order and company change nothing: the same decisions of the same games, one by one and together."""

    def by_position(asked):
        return f"Final answer: {asked.moves[len(asked.body['messages'][0]['content']) % len(asked.moves)]}"

    with serving(by_position) as server:
        chat = f"chat(model=m, url={server.url}, cache=None, parallel=3)"
        together = marl.play(FOUR, [chat, "random"], episodes=5)
        alone = marl.play(make(FOUR, 1), [chat, "random"], episodes=5)
    assert [moves.tolist() for moves in together.moves] == [moves.tolist() for moves in alone.moves]


def test_processes_that_open_one_cache_at_once(tmp_path):
    path = tmp_path / "answers.sqlite"
    gate, opened = threading.Barrier(8), []

    def open_it():
        gate.wait(30)
        answers = Answers(path)
        opened.append(answers.add("key", "agent", Answer("one", False, 1, 2)))
        answers.close()

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [Answer("one", False, 1, 2)] * 8


def test_at_rest_nothing_is_open_and_the_next_question_opens_it_again(entered):
    def open_ones():
        return [thread for thread in threading.enumerate() if thread.name.startswith("chat with")]

    with serving(first_legal) as server:
        entrant = entered(server)
        assert open_ones() == []
        entrant.agent.act(opening(1), None)
        assert len(open_ones()) == 1
        entrant.rest()
        assert open_ones() == []
        entrant.agent.act(opening(2), None)
        assert len(open_ones()) == 1 and len(server.asked) == 2
