"""Populations that meet: members whose payoffs against each other decide who trains against whom.

A population advances in rounds. What a round decides depends on the games and members of the rounds before it, and on
nothing else: not on the order in which work ends, on the engine, or on when a run was killed.

    meetings    the games between members                                rounds/R/cells.json, payoff.json
    training    a learner's round, a unit of work                        members/, journal.jsonl
    files       who belongs to the population, and its mixture           population.json
    metagame    the solution of a payoff table, seat by seat
    population  the folder, and what all methods do alike
    history     what was done so far, for status and report; a method's own says what its rounds found
    psro/       method: psro, responses to the mixture of all members    rounds/R/meta.json, decision.json
    league/     method: league, learners by their roles                rounds/R/meta.json, decision.json
    spent       the CPU time of games and of training                    cpu.jsonl
    trained     members that are runs of one training config, round by round
    pbt/        method: pbt, members that copy the better ones         rounds/R/meta.json, decision.json
    partners/   method: partners, learners with a pool of partners     rounds/1/decision.json, rounds/2/meta.json
    loop        run a population by its method
"""
