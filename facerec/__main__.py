"""`python -m facerec` is the `facerec` command."""

from facerec.cli import main

main()
