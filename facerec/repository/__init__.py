"""An experiment repository of one's own, made by `facerec new` and run by DVC with an installed facerec.

starting.py  copies the graph, the stages, profiles and the catalog into a new repository
code.py      the code that each stage runs, and its digests in code/, on which the stages depend
files.txt    the files that are copied; setup.py packs them into the wheel as facerec/_experiment/
"""
