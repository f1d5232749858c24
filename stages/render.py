"""render@set: a rendered set of the catalog -> photo shards, or the files of a pack, in data/raw/<set>/, and their facts."""

from __future__ import annotations

from facerec.catalog import entries, set_facts, synthetic_sets
from facerec.core import write_json
from facerec.params import Params
from stages import common


def render(params: Params, name: str) -> None:
    """Render the set `name` with the options of params.render."""
    entry, folder = entries.load_entry(name), common.RAW / name
    synthetic_sets.render_set(entry, folder, params.render[name])
    write_json(common.METRICS / f"download/{name}.json", {name: set_facts.describe_set(entry, folder)})


if __name__ == "__main__":
    common.run(render)
