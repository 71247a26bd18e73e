"""Population-based training: members copy better ones, and explore the settings with which they learn.

config       method: pbt
selection    who copies whom
priors       the values that settings may have, and how they are explored
lineage      who copied whom, and the settings with which a learner came to be
"""
