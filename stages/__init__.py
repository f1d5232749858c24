"""The stages of dvc.yaml: thin scripts that read params.yaml, call facerec and write outputs."""

from facerec.core import use_portable_arithmetic

use_portable_arithmetic()  # before a stage imports numpy or torch
