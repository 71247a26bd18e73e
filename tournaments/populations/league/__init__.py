"""A league: learners that meet each other's frozen past, each by its role.

config       method: league
evidence     what is known of a learner against each opponent
matchmaking  the rules by which it meets them
roles        which rule each role follows
decisions    who freezes, from where each learner trains, whom it meets
meetings     the cells of the payoff table that have games
training     a learner's round, a unit of work
loop         the rounds
history      what is shown of them
"""
