"""A page to watch, compare and play, which `marl web FOLDER` opens in a browser.

places      what lies below the folder, by name; no name leads out of it
index       aggregates of logs and stores, kept outside the folder; a visit writes nothing into it
runs        pages of runs, sweeps and populations
boards      pages of tournaments
replay      pages of stored games, step by step
play        pages on which people play
events      the one stream that says what has changed
pages       templates, and the answers that pages and data are
security    who may ask, for what, how much and how long
desk        what the handlers of games share
    table       a game, brought to the position that a seed and moves make
    sessions    people at the table, and what they are shown
    offers      the agents that may be chosen
    persons     people as players, and the stores that hold their games
    asking      the queue before the one process in which agents decide, deciding
    explaining  why an agent moved, as data for a page
app         the routes
server      the process: its port, its limits, its end
"""
