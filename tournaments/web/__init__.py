"""A page to watch, compare and play, which `marl web FOLDER` opens in a browser.

places      what lies below the folder, by name; no name leads out of it
index       aggregates of logs and stores, kept outside the folder; a visit writes nothing into it
runs        pages of runs, sweeps and populations
boards      pages of tournaments
events      the one stream that says what has changed
pages       templates, and the answers that pages and data are
security    who may ask, for what, how much and how long
app         the routes
server      the process: its port, its limits, its end
"""
