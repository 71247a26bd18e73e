"""Populations that meet: members whose payoffs against each other decide who trains against whom.

A population advances in rounds. What a round decides depends on the games and members of the rounds before it, and on
nothing else: not on the order in which work ends, on the engine, or on when a run was killed.

    meetings    play the cells of the payoff table until they are known     rounds/R/cells.json, payoff.json
    psro        solve the table, and say against whom a response trains     rounds/R/meta.json, decision.json
    responses   train the response, a unit of work                          members/response-R, journal.jsonl
    files       who belongs to the population, and its mixture              population.json
    loop        all of it, round by round

Of population-based training and of partner pools there are the decisions, as pure functions:

    pbt         who copies whom
    priors      the values that settings may have, and how they are explored
    lineage     who copied whom, and the settings with which a learner came to be
    partners    what agents earn with strangers, the checkpoints of a pool, seeds that are held out
"""
