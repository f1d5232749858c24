"""Two runs on files: pairs meet by the names of their photos, and what does not compare is listed with the reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec.core import FormatError, ParamsError
from facerec.evaluation import comparison
from facerec.evaluation.comparison import Side
from facerec.evaluation.identification import identify, on_files, outcomes
from facerec.evaluation.statistics.significance import Trials
from facerec.evaluation.verification.on_files import VerifyOptions, verify_files
from facerec.store import embeddings
from facerec.store.embeddings import Embeddings, normalise

OPTIONS = VerifyOptions(far=0.1, trials=10)
TRIALS = Trials(100)
PEOPLE, EACH = 20, 4


def faces(seed: int, noise: float = 0.4) -> Embeddings:
    """Photos p0/0.jpg ... as a network with so much noise sees them."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(PEOPLE), EACH)
    rows = np.eye(PEOPLE)[people] + noise * rng.normal(size=(len(people), PEOPLE))
    sources = [f"p{person}/{photo % EACH}.jpg" for photo, person in enumerate(people)]
    return Embeddings(rows.astype(np.float32), sources, [f"p{person}" for person in people])


def pairs_list() -> list[str]:
    """Lines "photo photo same"."""
    rng = np.random.default_rng(1)
    lines = []
    for number in range(120):
        person, a, b = number % PEOPLE, *rng.permutation(EACH)[:2]
        other = (person + 1 + number // PEOPLE) % PEOPLE if number % 2 else person
        lines.append(f"p{person}/{a}.jpg p{other}/{b}.jpg {int(other == person)}")
    return lines


def judge(
    side: Path, seed: int, lines: list[str] | None = None, known: Embeddings | None = None, **options: object
) -> Side:
    """A run whose only benchmark is `lfw`."""
    embeddings.write_embeddings(known or faces(seed), side.with_suffix(".npy"))
    side.with_suffix(".txt").write_text("\n".join(lines or pairs_list()))
    settings = replace(OPTIONS, **options)  # type: ignore[arg-type]
    verify_files(side.with_suffix(".npy"), side.with_suffix(".txt"), settings, side / "lfw")
    return Side(side.name, side)


def search(side: Path, seed: int, people: int = 6, strangers: int = 40, noise: str = "published") -> Side:
    """A run whose only task is `mega`; raw and cleaned are the same features."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(people), EACH)
    rows, others = rng.normal(size=(people, 8))[labels], rng.normal(size=(strangers, 8))
    rng = np.random.default_rng(seed)
    probes = Embeddings(
        normalise(rows + 0.5 * rng.normal(size=rows.shape)).astype(np.float32),
        [f"p{person}/{photo}.png" for photo, person in enumerate(labels)],
        [f"p{person}" for person in labels],
    )
    distractors = Embeddings(
        normalise(others).astype(np.float32), [f"{k}.jpg" for k in range(strangers)], [""] * strangers
    )
    embeddings.write_feature_sets(probes, distractors, side.with_suffix(".features"))
    run = on_files.identify_files(side.with_suffix(".features"), (1e-1, 1e-2))
    on_files.write_identification({"cleaned": run, "raw": run}, side / "mega", noise)
    return Side(side.name, side)


def reason(first: Side, second: Side) -> str:
    found = comparison.compare_runs(first, second, TRIALS)
    assert found.benchmarks == {}
    (told,) = found.omitted.values()
    return told


def test_figures_are_those_published(tmp_path: Path) -> None:
    first, second = judge(tmp_path / "one", 1), judge(tmp_path / "two", 2)
    found = comparison.compare_runs(first, second, TRIALS).benchmarks["lfw"]
    assert (found.pairs, found.unit, found.units) == (120, "identities", PEOPLE)
    for side, name in ((first, "first"), (second, "second")):
        published = json.loads((side.folder / "lfw/result.json").read_text())
        assert getattr(found.metrics["accuracy"], name) == published["accuracy"]
        assert getattr(found.metrics["tar@1e-1"], name) == published["tar"]
        assert getattr(found.metrics["eer"], name) == published["eer"]


@pytest.mark.parametrize("protocol", ["concat-mean", "youden"])
def test_every_protocol_compares(tmp_path: Path, protocol: str) -> None:
    sides = (judge(tmp_path / name, seed, protocol=protocol) for seed, name in enumerate(("one", "two")))
    found = comparison.compare_runs(*sides, TRIALS).benchmarks["lfw"].metrics["accuracy"]
    assert found.low <= found.difference <= found.high


def test_pairs_meet_by_name_in_any_order(tmp_path: Path) -> None:
    plain, lines = judge(tmp_path / "plain", 1), pairs_list()
    turned = [" ".join([b, a, same]) for a, b, same in (line.split() for line in lines)]
    mixed = [turned[k] for k in np.random.default_rng(0).permutation(len(lines))]
    found = comparison.compare_runs(plain, judge(tmp_path / "mixed", 1, mixed), TRIALS).benchmarks["lfw"]
    assert found.metrics["auc"].difference == 0
    assert found.metrics["auc"].p == 1
    assert found.metrics["accuracy"].p > 0.05  # other folds, other thresholds
    again = comparison.compare_runs(plain, judge(tmp_path / "turned", 1, turned), TRIALS).benchmarks["lfw"]
    assert again.equal


def test_a_photo_without_a_face_is_still_the_same_pair(tmp_path: Path) -> None:
    lost = faces(1)
    lost.matrix[:EACH] = np.nan  # nobody finds p0
    found = comparison.compare_runs(judge(tmp_path / "one", 1), judge(tmp_path / "two", 1, known=lost), TRIALS)
    metrics = found.benchmarks["lfw"].metrics
    assert found.benchmarks["lfw"].units == PEOPLE
    assert metrics["accuracy"].difference < 0
    assert metrics["auc"].difference < 0


def test_where_nobody_is_named_pairs_are_drawn(tmp_path: Path) -> None:
    sides = [
        judge(tmp_path / name, seed, known=replace(faces(seed), identities=[""] * PEOPLE * EACH))
        for seed, name in enumerate(("one", "two"))
    ]
    found = comparison.compare_runs(*sides, TRIALS).benchmarks["lfw"]
    assert (found.unit, found.units) == ("pairs", 120)


def test_both_rates_are_read_where_runs_ask_for_different_ones(tmp_path: Path) -> None:
    sides = (judge(tmp_path / str(far), 1, far=far) for far in (0.1, 0.05))
    metrics = comparison.compare_runs(*sides, TRIALS).benchmarks["lfw"].metrics
    assert list(metrics) == ["accuracy", "tar@1e-1", "auc", "eer"]  # 5e-2 is in one run only


def test_reasons_not_to_compare(tmp_path: Path) -> None:
    one, lines = judge(tmp_path / "one", 1), pairs_list()
    other = judge(tmp_path / "other", 1, protocol="youden")
    assert reason(one, other) == "it is judged by protocol insightface in one and youden in other"
    fewer = judge(tmp_path / "fewer", 1, [*lines[:100], *(line.replace("p3/", "p4/") for line in lines[100:110])])
    told = reason(one, fewer)
    assert told.startswith("its pairs differ: ")
    assert told.endswith("of 120 are only in one and 1 of 110 are only in fewer")
    old = Path(shutil.copytree(one.folder, tmp_path / "old"))
    result = json.loads((old / "lfw/result.json").read_text())
    del result["protocol"]
    (old / "lfw/result.json").write_text(json.dumps(result))
    assert "the scores in old are of an older facerec" in reason(one, Side("old", old))
    mega = search(tmp_path / "searched", 1)
    found = comparison.compare_runs(one, mega, TRIALS).omitted
    assert found == {"lfw": "only one has it", "mega": "only searched has it"}
    (mega.folder / "mega").rename(mega.folder / "lfw")
    assert reason(one, mega) == "it is verification in one run and identification in the other"


def test_identification(tmp_path: Path) -> None:
    first, second = search(tmp_path / "one", 1), search(tmp_path / "two", 2)
    found = comparison.compare_runs(first, second, TRIALS).benchmarks["mega"]
    assert (found.headline, found.pairs, found.units) == ("rank1", 72, 6)
    assert list(found.metrics) == ["rank1", "tpr@1e-1", "tpr@1e-2", "rank1_raw"]
    for side, name in ((first, "first"), (second, "second")):
        published = json.loads((side.folder / "mega/result.json").read_text())["cleaned"]
        for figure in ("rank1", "tpr@1e-1", "tpr@1e-2"):
            assert getattr(found.metrics[figure], name) == published[figure]
    assert comparison.compare_runs(first, first, TRIALS).benchmarks["mega"].equal


def test_reasons_not_to_compare_identification(tmp_path: Path) -> None:
    one = search(tmp_path / "one", 1)
    fewer = search(tmp_path / "fewer", 1, strangers=39)
    assert reason(one, fewer) == "it is ranked among distractors, in number 40 in one and 39 in fewer"
    people = search(tmp_path / "people", 1, people=5)
    assert reason(one, people) == "its pairs differ: 12 of 72 are only in one and 0 of 60 are only in people"
    zero = search(tmp_path / "zero", 1, noise="zero")
    assert reason(one, zero) == "it is cleaned of noise by variant published in one and zero in zero"
    (zero.folder / "mega/cleaned_people.parquet").unlink()
    assert "the scores in zero are of an older facerec" in reason(one, zero)


def test_only_some_benchmarks(tmp_path: Path) -> None:
    one, two = judge(tmp_path / "one", 1), judge(tmp_path / "two", 2)
    shutil.copytree(one.folder / "lfw", one.folder / "agedb")
    assert comparison.compare_runs(one, two, TRIALS, ["lfw"]).omitted == {}
    with pytest.raises(ParamsError, match=r"neither run judged a benchmark lwf \(agedb, lfw\)"):
        comparison.compare_runs(one, two, TRIALS, ["lwf"])


def test_outcomes_at_rest_are_the_result(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(8), 5))
    rows = normalise(np.eye(8)[labels] + 0.4 * rng.normal(size=(40, 8))).astype(np.float32)
    rows[7] = np.nan
    result = identify(rows, [f"p{k}" for k in labels], normalise(rng.normal(size=(30, 8))).astype(np.float32), (1e-2,))
    probes = outcomes.ProbeNames([f"{k}.jpg" for k in range(40)], [f"p{k}" for k in labels])
    for name in ("a", "b"):
        outcomes.write_outcomes(result, probes, tmp_path, name)
    for table in ("pairs", "people"):
        assert (tmp_path / f"a_{table}.parquet").read_bytes() == (tmp_path / f"b_{table}.parquet").read_bytes()
    stored = outcomes.read_outcomes(tmp_path, "a", 30)
    assert stored.people == sorted(f"p{k}" for k in range(8))
    assert sorted(stored.ranks) == sorted(result.ranks)
    assert stored.probes.tolist() == [5] * 8
    found = stored.separation
    assert np.array_equal(found.tail_identity, result.separation.tail_identity)
    for fpr in (1e-3, 1e-2, 0.1, 0.5):
        assert found.tpr(fpr) == result.separation.tpr(fpr)
    weights = rng.integers(0, 3, 8).astype(float)
    drawn = [each.weighted_tpr(weights, [1e-2, 0.1], 1000.0) for each in (found, result.separation)]
    assert np.array_equal(*drawn)
    missing = pq.read_table(tmp_path / "a_pairs.parquet")["false_positives"].null_count
    assert missing == 8  # four pairs of photo 7, both ways


def test_damaged_scores_are_named(tmp_path: Path) -> None:
    one, two, mega = judge(tmp_path / "one", 1), judge(tmp_path / "two", 2), search(tmp_path / "mega", 1)
    (two.folder / "lfw/scores.parquet").write_bytes(b"no table")
    with pytest.raises(FormatError, match=r"scores\.parquet is not a readable table"):
        comparison.compare_runs(one, two, TRIALS)
    for text, told in (("[]", "is no mapping"), ("{", "cannot read"), ('{"accuracy": 1, "protocol": 1}', "not whole")):
        (one.folder / "lfw/result.json").write_text(text)
        with pytest.raises(FormatError, match=told):
            comparison.compare_runs(one, one, TRIALS)
    lacking = judge(tmp_path / "lacking", 1)
    table = pq.read_table(lacking.folder / "lfw/scores.parquet")
    nulls = pa.nulls(len(table), pa.float64())
    holes = table.set_column(table.schema.get_field_index("distance"), "distance", nulls)
    pq.write_table(holes, lacking.folder / "lfw/scores.parquet")
    with pytest.raises(FormatError, match="some pairs of lfw in lacking have no score"):
        comparison.compare_runs(lacking, lacking, TRIALS)
    people = pq.read_table(mega.folder / "mega/cleaned_people.parquet")
    pq.write_table(people.slice(1), mega.folder / "mega/cleaned_people.parquet")
    with pytest.raises(FormatError, match="do not fit each other"):
        comparison.compare_runs(mega, mega, TRIALS)
