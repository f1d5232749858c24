"""disjoint@benchmark: scores and decisions of overlap -> accuracy with and without the people that training may know."""

from __future__ import annotations

from facerec.evaluation.verification import on_files
from facerec.store.decisions import read_decisions
from stages import common


def disjoint(params: common.Params, name: str) -> None:
    """Measure benchmark `name` without the people of its decisions; an identification benchmark has only their counts."""
    shared = read_decisions(common.DECISIONS / f"overlap/{name}.yaml").likes("overlap")
    rules, scores = params.verify, common.SCORES / name
    options = on_files.VerifyOptions(rules.protocol, rules.far, rules.bootstrap, rules.seed)
    found = on_files.accuracy_without(scores, shared, options) if name in params.benchmarks else {}
    common.write_metrics("disjoint", name, found)


if __name__ == "__main__":
    common.run(disjoint)
