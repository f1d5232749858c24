"""Tools for developers: parts of the documentation and of dvc.yaml that are made from the code, and checks.

`make docs` runs `python -m tools.graph` and `python -m tools.reference`.
"""
