"""Run the benchmarks and write reports/bench.json, from which `make docs` makes the table of docs/speed.md.

    make bench                                  all of them, hours
    python bench/run.py verification alignment  these; the rows of the others stay

A row holds the ratio of CPU times as median, lowest and highest of its rounds, the date and the machine. A script that
lacks what it compares with has a row that says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facerec.core import usable_cores, write_json

SCRIPTS = ("verification", "identification", "alignment", "recordio", "loader", "training", "heads")
SCRIPTS += ("detection_mtcnn", "detection_retinaface", "engines", "portable")
RESULT = Path(__file__).parents[1] / "reports/bench.json"


def main(scripts: list[str]) -> None:
    unknown = sorted(set(scripts) - set(SCRIPTS))
    if unknown:
        raise SystemExit(f"There is no benchmark {unknown[0]}; choose from {', '.join(SCRIPTS)}.")
    for script in scripts:
        print(f"\n== bench/{script}.py", flush=True)
        rows = list(measure(script))
        known = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.is_file() else []
        every = [row for row in known if row["script"] != script] + rows
        write_json(RESULT, {"rows": sorted(every, key=lambda row: SCRIPTS.index(row["script"]))})


def measure(script: str) -> Iterator[dict[str, Any]]:
    """The rows of one script."""
    origin = {"script": script, "date": datetime.now(UTC).date().isoformat(), "machine": describe_machine()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows")
        file.touch()
        command = [sys.executable, str(Path(__file__).with_name(f"{script}.py"))]
        subprocess.run(command, env=os.environ | {"BENCH_ROWS": str(file)}, check=True)
        for line in file.read_text(encoding="utf-8").splitlines():
            yield origin | json.loads(line)


def describe_machine() -> str:
    """Processor, usable cores, and how many processes were waiting for them, which even CPU time shows."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    return f"{model}, {usable_cores()} cores, load {os.getloadavg()[0]:.0f}"


if __name__ == "__main__":
    main(sys.argv[1:] or list(SCRIPTS))
