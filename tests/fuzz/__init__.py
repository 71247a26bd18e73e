"""Fuzzing the command line: hostile input of every kind, and what must hold whatever it is.

hostile.py      values, words and paths that readers stumble over
mutators.py     changes of data, YAML texts, references, files and stores
bases.py        the sound configs, runs, populations and stores that are changed
kinds.py        the kinds of case: which command is run on what, and what is changed
limits.py       what keeps a mutant that is valid from running for long
runner.py       a case is built, run in this process or as a real command, and held against the promises

python -m tests.fuzz --cases 1000 --seed 1        the long form (make fuzz); tests/test_fuzz.py is the short one
python -m tests.fuzz --seed 1 --case yaml/17      one case again; yaml/17/0,2 makes only its changes 0 and 2
"""
