"""download@set: a catalogue entry -> photo shards, or the files of a pack or a model, in data/raw/<set>/."""

from __future__ import annotations

from facerec import catalog
from facerec.acquire.sets import acquire
from facerec.params import Params
from stages import common


def download(params: Params, name: str) -> None:
    """Fetch or render entry `name` with the options params.download gives it."""
    acquire(catalog.load(name), common.RAW / name, params.download[name])


if __name__ == "__main__":
    common.run(download)
