"""The two teams of known environments, whose agents' names say who is in which.

Of MPE, in the packages that have it (mpe2, VMAS, JaxMARL), and of MAgent2; none of them declares its teams.
"""

import re
from collections.abc import Sequence

from games.contract import Teams

_FIRST = {  # how the names of one team's agents begin; all others are the other team
    **dict.fromkeys(("simple_adversary", "simple_tag"), ("adversary",)),
    "simple_world_comm": ("adversary", "lead"),
    "simple_crypto": ("eve",),
    **dict.fromkeys(("battle", "battlefield", "combined_arms"), ("red",)),
    "adversarial_pursuit": ("predator",),
    "tiger_deer": ("tiger",),
}


def opposed(name: str, agents: Sequence[str]) -> Teams:
    """Return the teams of an environment, by its name and its agents' names; () where each agent is for itself."""
    begin = _FIRST.get(re.sub(r"^MPE_|_v\d+$", "", name))
    if begin is None or len(agents) < 3:
        return ()
    own = [agent.startswith(begin) for agent in agents]
    teams = [tuple(k for k, first in enumerate(own) if first is which) for which in (True, False)]
    return tuple(sorted(teams)) if all(teams) else ()
