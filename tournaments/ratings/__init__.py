"""Who is stronger: pure functions of the results of games."""

from marl.base.moved import getter

__getattr__ = getter(__name__)  # forwards names that moved to other modules
