from games.contract import Array as Array
from games.contract import Box as Box
from games.contract import Discrete as Discrete
from games.contract import Game as Game
from games.contract import Spec as Spec
from games.contract import State as State
from games.contract import TimeStep as TimeStep
from games.contract import VecEnv as VecEnv
from games.errors import RunFailed as RunFailed
from games.errors import UserError as UserError
from marl.api import Played as Played
from marl.api import evaluate as evaluate
from marl.api import load_agent as load_agent
from marl.api import make as make
from marl.api import play as play
from marl.api import rate as rate
from marl.api import run_tournament as run_tournament
from marl.api import train as train
from marl.evaluation.evaluate import Evaluation as Evaluation
from marl.learning.learner import Learner as Learner
from marl.rollout.agent import Agent as Agent
from marl.rollout.agent import Stateless as Stateless
from marl.rollout.types import Decision as Decision
from marl.rollout.types import Trajectory as Trajectory
from marl.rollout.types import View as View
from tournaments.summary import Summary as Summary

__version__: str
