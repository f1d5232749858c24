"""A seeded mutation fuzzer over everything that reads a foreign file: `python -m tests.fuzzing --help`.

`mutations` spoils bytes, `targets` lists the readers with valid inputs to spoil, `guard` judges what one
input did, `runner` feeds inputs to a child process, so that a crash or a hang is survived and named.
"""
