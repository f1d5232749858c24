"""The stages of dvc.yaml: thin scripts that read params.yaml, call facerec and write outputs."""

import sys

from facerec.core import ParamsError, use_portable_arithmetic

try:
    use_portable_arithmetic()  # before a stage imports numpy or torch
except ParamsError as error:
    sys.exit(f"error: {error}")
