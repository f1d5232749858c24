"""download@set: a catalogue entry -> photo shards, or the files of a pack or a model, in data/raw/<set>/, and their facts."""

from __future__ import annotations

from facerec.catalog import entries, sets
from facerec.core import write_json
from facerec.params import Params
from stages import common


def download(params: Params, name: str) -> None:
    """Fetch or render entry `name` with the options params.download gives it."""
    entry, folder = entries.load_entry(name), common.RAW / name
    sets.acquire(entry, folder, params.download[name])
    write_json(common.METRICS / f"download/{name}.json", {name: sets.describe_set(entry, folder)})


if __name__ == "__main__":
    common.run(download)
