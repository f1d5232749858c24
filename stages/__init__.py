"""The stages of dvc.yaml: thin scripts that read params.yaml, call facerec and write outputs."""

import sys

from facerec.core import ParamsError, collect_rarely, use_portable_arithmetic

collect_rarely()
try:
    use_portable_arithmetic()  # before a stage imports numpy or torch
except ParamsError as error:
    sys.exit(f"error: {error}")
