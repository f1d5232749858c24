"""download@set: a catalog entry -> photo shards, or the files of a pack or a model, in data/raw/<set>/, and their facts."""

from __future__ import annotations

from facerec.catalog import entries, set_facts, sets
from stages import common


def download(params: common.Params, name: str) -> None:
    """Download the entry `name`."""
    entry, folder = entries.load_entry(name), common.RAW / name
    sets.acquire(entry, folder, params.download[name])
    common.write_metrics("download", name, set_facts.describe_set(entry, folder))


if __name__ == "__main__":
    common.run(download)
