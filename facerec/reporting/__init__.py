"""What people look at: figures, tables, contact sheets, cards and the page of a run, and comparisons of runs.

`report.RunReport` writes the page and the cards. It shows the figures that `run_figures` drew and the sheets that
`photo_sheets` and `pair_sheets` drew, and gets its numbers from `summary` and `tables`. `comparison` and `overlay` put
several runs side by side. `figures` draws from plain records:

>>> from facerec.reporting import figures
>>> curve = [{"fpr": 0.01, "tpr": 0.9, "lo": 0.88, "hi": 0.92}, {"fpr": 1, "tpr": 1, "lo": 1, "hi": 1}]
>>> svg = figures.render_figure(figures.verification_roc({"lfw": curve}))
"""
