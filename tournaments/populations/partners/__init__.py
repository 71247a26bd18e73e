"""Partner pools: agents that are trained apart, learners that train with them, and what they earn with strangers.

config       method: partners
cross_play   what agents earn with strangers, the checkpoints of a pool, seeds that are held out
"""
