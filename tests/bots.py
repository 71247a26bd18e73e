"""Foreign agents for tests: each plays in a process of its own, so this module imports little."""

import ctypes
import os
import signal
import sys
import threading
import time

import numpy as np

from games.keys import choose, draw
from marl.agents.foreign import Host
from marl.rollout.agent import Random, Stateless, log_probs_of
from marl.rollout.types import AgentFailed, Decision


class Second(Random):
    """Another random agent: another digest, other draws."""


class Third(Random):
    """And one more."""


class First(Stateless):
    """Choose the first legal action: two of it repeat one game."""

    def act(self, view, hidden):
        return Decision(view.action_mask.argmax(1)), None


class AlsoFirst(First):
    """Choose the same, and be another."""


class Telling(First):
    """Say of the last row that it has failed, and note something on all; or say `what` that is none of that."""

    def __init__(self, what="rows"):
        self._what = what

    def act(self, view, hidden):
        last = len(view) - 1
        failed, notes = {last: AgentFailed("timeout", "was tired")}, dict.fromkeys(np.arange(last + 1), '"so it is"')
        failed = {"rows": failed, "how": {0: AgentFailed("resigned", "gave up")}, "late": {last + 1: 3}}.get(
            self._what, {}
        )
        return Decision(
            view.action_mask.argmax(1), failed=failed, notes={0: "{"} if self._what == "note" else notes
        ), None


class Drawn:
    """Prefer the action that it counts to, and tell how: hidden [B], its decisions so far."""

    def __init__(self, spec):
        self.actions = spec.num_actions

    def initial_hidden(self, rows):
        return np.zeros(rows, np.int64)

    def weights(self, view, hidden):
        return view.action_mask * (1 + 2.0 * (np.arange(self.actions) == (hidden % self.actions)[:, None]))

    def act(self, view, hidden):
        return Decision(draw(view.key, self.weights(view, hidden))), hidden + 1

    def policy(self, view, hidden):
        return log_probs_of(self.weights(view, hidden)), hidden + 1

    def value(self, view, hidden):
        return view.player


class Uniform(Random):
    """Play at random, and tell the policy and a value of 0."""

    def policy(self, view, hidden):
        return log_probs_of(view.action_mask.astype(np.float64)), hidden

    def value(self, view, hidden):
        return np.zeros(len(view))


class Moody(Random):
    """Raise at one in so many decisions, whoever else is in the batch."""

    def __init__(self, spec, one_in: int = 4):
        super().__init__(spec)
        self.one_in = np.uint64(one_in)

    def act(self, view, hidden):
        if (view.key % self.one_in == 0).any():
            raise RuntimeError("not today")
        return super().act(view, hidden)


class Dying(Random):
    """End its process at a quarter of the decisions, whoever else is in the batch."""

    def act(self, view, hidden):
        if (view.key % np.uint64(4) == 0).any():
            os._exit(3)
        return super().act(view, hidden)


class Cheat(Stateless):
    """Choose an action that does not exist at a quarter of the decisions."""

    def act(self, view, hidden):
        legal = choose(view.key, view.action_mask)
        return Decision(np.where(view.key % np.uint64(4) == 0, view.action_mask.shape[1], legal)), None


class Counting(Stateless):
    """Remember in hidden states how often it has decided, of any kind that is asked for, and play by that."""

    def __init__(self, kind: str = "numpy"):
        self.kind = kind

    def initial_hidden(self, rows):
        if self.kind == "torch":
            import torch

            return torch.zeros(rows, 2)
        return np.array([["", 0]] * rows, object) if self.kind == "objects" else np.zeros((rows, 2))

    def act(self, view, hidden):
        after = hidden + hidden[:1] * 0 if self.kind != "objects" else hidden.copy()
        after[:, 1] += 1
        nth = np.array([int(count) for count in after[:, 1]]) % view.action_mask.sum(1)
        return Decision((np.cumsum(view.action_mask, 1) > nth[:, None]).argmax(1)), after


class Looking(Stateless):
    """Ask for the positions, and win where a move wins."""

    def act(self, view, hidden):
        pairs = zip(view.states(), view.player.tolist(), strict=True)
        return Decision(np.array([self.best(state, player) for state, player in pairs])), None

    def best(self, state, player):
        legal = state.legal_actions(player)
        for action in legal:
            after = state.clone()
            after.apply([action] * 2)
            if after.is_terminal() and after.returns()[player] > 0:
                return action
        return legal[0]


class Bad(Stateless):
    """Misbehave in a way and where that is asked for: at the second player's decisions, at `all`, ..."""

    def __init__(self, how: str, where: str = "act"):
        self.how, self.where = how, where
        if where == "init":
            self.misbehave()

    def initial_hidden(self, rows):
        if self.where == "begin":
            self.misbehave()
        return {"shape": np.zeros((rows + 1, 2)), "rows": np.zeros((rows, 2)), "list": [0] * rows}.get(self.where)

    def act(self, view, hidden):
        answer = view.action_mask.argmax(1)
        if self.where == "all" or (self.where == "act" and (view.player == 1).any()):
            return self.answers(view, answer) or (Decision(answer), hidden)
        return Decision(answer), hidden

    def answers(self, view, answer):
        bad = {
            "nan": np.full(len(answer), np.nan),
            "float": answer + 0.5,
            "whole": answer.astype(float),
            "huge": np.array([10**30] * len(answer), object),
            "u64": np.full(len(answer), 2**64 - 1, np.uint64),
            "negative": answer - 100,
            "shape": np.zeros((len(answer), 7)),
            "words": np.array(["a"] * len(answer)),
            "complex": answer.astype(complex),
            "bool": answer.astype(bool),
        }
        if self.how in bad:
            return Decision(bad[self.how]), None
        if self.how == "triple":
            return Decision(answer), None, None
        if self.how == "nothing":
            return 1
        if self.how in ("mask", "row", "player", "obs"):
            getattr(view, {"mask": "action_mask"}.get(self.how, self.how))[:] = 1
        else:
            self.misbehave()
        return None

    def misbehave(self):
        how = self.how
        if how == "raise":
            raise ValueError("no")
        if how == "exit":
            sys.exit(0)
        if how == "bye":
            sys.exit("bye")
        if how == "os-exit":
            os._exit(0)
        if how == "interrupt":
            raise KeyboardInterrupt
        if how == "generator-exit":
            raise GeneratorExit
        if how == "stop-iteration":
            raise StopIteration
        if how == "memory-error":
            raise MemoryError
        if how == "recursion":
            self.misbehave()
        if how == "speechless":
            raise Speechless
        if how == "long":
            raise ValueError("x" * 100_000 + "\n" * 50 + "\x1b[31mred")
        if how == "escapes":
            raise ValueError("\x1b[31mred\u202egreen")
        if how == "print":
            print("y" * 3_000_000)
        if how == "stderr":
            sys.stderr.write("z" * 1000)
        if how == "crash":
            ctypes.string_at(0)
        if how == "abort":
            os.abort()
        if how == "sleep":
            time.sleep(3600)
        if how == "spin":
            while True:
                pass
        if how == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        if how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if how == "memory":
            held = []
            while True:
                held.append(bytearray(50_000_000))
        if how == "fork" and os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        if how == "fork-exit":
            if os.fork() == 0:
                time.sleep(20)
            os._exit(0)
        if how == "fork-return":
            os.fork()
        if how == "folder":
            os.chdir("/")
        if how == "kill-parent":
            os.kill(os.getppid(), signal.SIGTERM)
        if how == "interrupt-parent":
            os.kill(os.getppid(), signal.SIGINT)
        if how == "kill-group":
            os.killpg(0, signal.SIGKILL)
        if how == "close":
            os.closerange(0, 1000)
        if how == "garbage":
            for number in range(3, 1000):
                try:
                    os.write(number, b"\0\0\0\x09not JSON\n")
                except OSError:
                    continue
        if how == "refuse":
            self.refuse()
        if how == "thread":
            threading.Thread(target=lambda: time.sleep(3600)).start()
        if how == "tracer":
            sys.settrace(lambda *_: 1 / 0)

    def refuse(self):
        """Answer, in the place of the process's own code, that the agent cannot be built."""
        frame = sys._getframe()
        while not isinstance(frame.f_locals.get("self"), Host):
            frame = frame.f_back
        frame.f_locals["self"]._send({"kind": "refused", "detail": "stop"}, [])


class Shy(Stateless):
    """Raise where somebody looks whether it can act."""

    @property
    def act(self):
        raise ValueError("do not look")


class BadByEnvironment(Bad):
    """Misbehave in another way in each environment of a two-player game; a batch raises, so each is asked alone."""

    def __init__(self, ways: str):
        super().__init__("raise")
        self.ways = ways.split()

    def act(self, view, hidden):
        self.how = self.ways[int(view.row[0]) // 2] if len(view) == 1 else "raise"
        return super().act(view, hidden)


class Speechless(Exception):
    """Raise again when it is put in words."""

    def __str__(self):
        raise RuntimeError("no words")
