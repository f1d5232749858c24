"""The stages of dvc.yaml: thin scripts that read params.yaml, call facerec and write outputs."""
