"""Populations that meet: members whose payoffs against each other decide who trains against whom.

A population advances in rounds. What a round decides depends on the games and members of the rounds before it, and on
nothing else: not on the order in which work ends, on the engine, or on when a run was killed.

    meetings    the games between members                                rounds/R/cells.json, payoff.json
    training    a learner's round, a unit of work                        members/, journal.jsonl
    files       who belongs to the population, and its mixture           population.json
    population  the folder, and what all methods do alike
    history     what was done so far, for status and report; a method's own says what its rounds found
    psro/       method: psro, responses to the mixture of all members    rounds/R/meta.json, decision.json
    league/     what a league decides, as pure functions; the loop does not run it yet
    pbt/        what population-based training decides, as pure functions, like the next
    partners/   what is measured of partners, which checkpoints make a pool, which seeds are held out
    loop        run a population by its method
"""
