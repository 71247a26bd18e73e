"""The claims of the front page and of the results: what was measured, by which commands, and whether it still holds.

cells.py      the grammar of a table's cell: figures, their intervals, and how new ones are written in their place
table.py      docs/claims.yaml and docs/measured/*.csv, read and checked
sources.py    figures are read from what commands have written
commands.py   command lines are parsed by the real command line, and nothing runs
running.py    a claim's commands run in its folder, each once
verdicts.py   new figures beside the claimed ones
pages.py      tables and commands stand in the pages between markers
"""
