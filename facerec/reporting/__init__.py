"""Reporting: curves for DVC, figures, one summary and one page. Takes plain arrays and dictionaries."""
