"""The share of SMAX's battles that agents win; `python -m tests.benchmarks.battles AGENT ...` (marl[jaxmarl]).

By the rewards of HeuristicEnemySMAX a battle pays the share of their health that the enemies lost, and 1 more if it is
won: 2 then, and else at most 1. Agents sample their policy; 'RUN(greedy=true)' plays its mode.
"""

import argparse

import marl

GAME = "jaxmarl:HeuristicEnemySMAX(map_name=3m)"
WON = 1.5  # returns above it


def main() -> None:
    """Print for each agent, which holds all seats, how many battles it won."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="+", metavar="AGENT")
    parser.add_argument("--game", default=GAME, help="with the rewards of HeuristicEnemySMAX")
    parser.add_argument("--battles", type=int, default=1000)
    options = parser.parse_args()
    for agent in options.agents:
        returns = marl.play(options.game, agent, episodes=options.battles).returns[:, 0]
        print(f"{agent}: won {(returns > WON).mean():.3f} of {options.battles} battles", flush=True)


if __name__ == "__main__":
    main()
