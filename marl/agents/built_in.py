"""The agents that are built in, by the names with which references begin."""

from marl.agents.battle import CALCULATORS
from marl.agents.chat.agent import Chat
from marl.agents.looking_ahead import LOOKING_AHEAD
from marl.agents.mastermind import BREAKERS
from marl.agents.mcts import Mcts
from marl.agents.scripted import SCRIPTED
from marl.rollout.agent import Random
from marl.search.agent import UctAgent

CHAT = "chat"  # a language model, on a server
MIXTURE = "mixture"  # mixture(RUN): a population's mixture
BUILT_IN: dict[str, type] = {"random": Random, "mcts": Mcts, "uct": UctAgent, CHAT: Chat}
BUILT_IN |= SCRIPTED | CALCULATORS | BREAKERS
OURS = (*BUILT_IN, *LOOKING_AHEAD, MIXTURE)
