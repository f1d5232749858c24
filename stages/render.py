"""render@set: a rendered set of the catalog -> photo shards, or the files of a pack, in data/raw/<set>/, and their facts."""

from __future__ import annotations

from facerec.catalog import entries, set_facts, synthetic_sets
from stages import common


def render(params: common.Params, name: str) -> None:
    """Render the set `name` with the options of params.render."""
    entry, folder = entries.load_entry(name), common.RAW / name
    synthetic_sets.render_set(entry, folder, params.render[name])
    common.write_metrics("download", name, set_facts.describe_set(entry, folder))


if __name__ == "__main__":
    common.run(render)
