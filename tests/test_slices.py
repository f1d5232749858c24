"""Verification by groups of people: equal to a plain count, one threshold for all, and silent about groups too small."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from facerec import cli
from facerec.core import FormatError, write_json
from facerec.evaluation.verification import on_files
from facerec.evaluation.verification.slices import Least, ScoredPairs, slice_pairs
from facerec.interop.attributes import read_attributes
from facerec.reporting import slice_tables, summary
from facerec.store import embeddings, pairs
from facerec.store.embeddings import Embeddings
from tests import finished

PEOPLE = 40
LEAST = Least(people=10, pairs=20)


def some_pairs(count: int = 2000, seed: int = 0) -> tuple[ScoredPairs, list[str], list[str]]:
    """Pairs among 40 people, the odd ones women, whose impostor pairs are more alike; p7 has no group."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, PEOPLE, count)
    second = np.where(np.arange(count) % 2 == 0, first, (first + rng.integers(1, PEOPLE, count)) % PEOPLE)
    same = first == second
    both_women = (first % 2 == 1) & (second % 2 == 1)
    distances = np.where(same, rng.normal(1.0, 0.4, count), rng.normal(2 - 0.4 * both_women, 0.3, count))
    distances = np.clip(distances, 0, 4).round(2)  # ties
    groups = [["" if p == 7 else "woman" if p % 2 else "man" for p in side] for side in (first, second)]
    return ScoredPairs(distances, same, first, second, "identities", threshold=1.5), *groups


def test_every_group_equals_a_plain_count() -> None:
    found, first, second = some_pairs()
    told = slice_pairs(found, {"gender": (first, second)}, LEAST, 1e-2, 50, 1)
    impostors = sorted(found.distances[~found.same])
    allowed = len(impostors) // 100
    assert told["threshold_at_far"] == max(t for t in impostors if sum(d < t for d in impostors) <= allowed)
    column = told["columns"]["gender"]
    for group, values in column["groups"].items():
        rows = [
            (d, s, a, b)
            for d, s, a, b, g, h in zip(
                found.distances, found.same, found.first, found.second, first, second, strict=True
            )
            if g == h == group
        ]
        accepted = [d < told["threshold_at_far"] for d, *_ in rows]
        genuine = [yes for yes, row in zip(accepted, rows, strict=True) if row[1]]
        impostor = [yes for yes, row in zip(accepted, rows, strict=True) if not row[1]]
        assert (values["genuine"], values["impostor"]) == (len(genuine), len(impostor))
        assert values["people"] == len({name for row in rows for name in row[2:]})
        assert values["tar"] == pytest.approx(np.mean(genuine))
        assert (values["fmr"], values["false_accepts"]) == (pytest.approx(np.mean(impostor)), sum(impostor))
        assert values["accuracy"] == pytest.approx(np.mean([(row[0] < 1.5) == row[1] for row in rows]))
        for name in ("accuracy", "tar", "fmr"):
            assert values[f"{name}_low"] <= values[name] <= values[f"{name}_high"]
    outside = [(s, g, h) for s, g, h in zip(found.same, first, second, strict=True) if g != h or not g]
    unknown = sum(not g or not h for _, g, h in outside)
    assert column["unlabelled"] == unknown > 0
    assert (column["across"]["impostor"], column["across"]["genuine"]) == (len(outside) - unknown, 0)
    within = sum(values["genuine"] + values["impostor"] for values in column["groups"].values())
    assert within + len(outside) == len(found.same)


def test_the_worst_group_and_the_ratio_are_those_of_the_counts() -> None:
    found, first, second = some_pairs()
    column = slice_pairs(found, {"gender": (first, second)}, LEAST, 1e-2, 200, 1)["columns"]["gender"]
    groups, worst, ratio = column["groups"], column["worst"], column["fmr_ratio"]
    assert (worst["fmr"]["group"], worst["fmr"]["best"]) == ("woman", "man")
    assert worst["fmr"]["gap"] == pytest.approx(groups["woman"]["fmr"] - groups["man"]["fmr"])
    assert worst["fmr"]["gap_low"] <= worst["fmr"]["gap"] <= worst["fmr"]["gap_high"]
    lower = min(("man", "woman"), key=lambda group: groups[group]["tar"])
    assert worst["tar"]["group"] == lower
    assert worst["tar"]["gap"] == pytest.approx(abs(groups["man"]["tar"] - groups["woman"]["tar"]))
    if groups["man"]["fmr"]:
        assert ratio["ratio"] == pytest.approx(groups["woman"]["fmr"] / groups["man"]["fmr"])
        assert ratio["ratio_low"] <= ratio["ratio"]
    else:
        assert ratio["ratio"] is None


def test_intervals_equal_a_loop_over_drawn_people() -> None:
    found, first, second = some_pairs(600, seed=3)
    told = slice_pairs(found, {"gender": (first, second)}, LEAST, 1e-2, 100, 5)
    drawn = np.random.default_rng(5).multinomial(PEOPLE, np.full(PEOPLE, 1 / PEOPLE), size=100)
    shares = []
    for weight in drawn:
        counted = [
            (weight[a] * (1 if a == b else weight[b]), d < told["threshold_at_far"])
            for a, b, s, d, g, h in zip(
                found.first, found.second, found.same, found.distances, first, second, strict=True
            )
            if s and g == h == "man"
        ]
        shares.append(sum(w for w, yes in counted if yes) / sum(w for w, _ in counted))
    low, high = np.quantile(shares, [0.025, 0.975], method="inverted_cdf")
    values = told["columns"]["gender"]["groups"]["man"]
    assert (values["tar_low"], values["tar_high"]) == (pytest.approx(low), pytest.approx(high))


def test_small_groups_and_rates_without_enough_pairs_have_no_numbers() -> None:
    found, first, second = some_pairs()
    rare = [["rare" if person in (1, 3) else "common" for person in side] for side in (found.first, found.second)]
    groups = slice_pairs(found, {"x": tuple(rare)}, LEAST, 1e-2, 20, 1)["columns"]["x"]["groups"]
    assert "2 of 10 people" in groups["rare"]["lacking"]
    assert [groups["rare"][name] for name in ("accuracy", "tar", "fmr", "tar_low")] == [None] * 4
    assert groups["common"]["lacking"] == ""
    told = slice_pairs(found, {"gender": (first, second)}, LEAST, 1e-4, 20, 1)
    assert (told["threshold_at_far"], told["pairs_needed"]) == (None, 10_000)
    man = told["columns"]["gender"]["groups"]["man"]
    assert (man["tar"], man["fmr"], man["false_accepts"]) == (None, None, None)
    assert man["accuracy"] is not None
    assert told["columns"]["gender"]["worst"]["fmr"] is None


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Embeddings of 40 people, five photos each, and 400 pairs, with tables of attributes beside them."""
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(PEOPLE), 5)
    rows = (np.eye(PEOPLE)[people] + 0.35 * rng.normal(size=(200, PEOPLE))).astype(np.float32)
    sources = [f"p{person}/p{person}_{photo % 5:04d}.jpg" for photo, person in enumerate(people)]
    embeddings.write_embeddings(Embeddings(rows, sources, [f"p{p}" for p in people]), tmp_path / "e.npy")
    same = np.arange(400) % 2 == 0
    first = np.tile(np.arange(200), 2)
    second = np.where(same, first // 5 * 5 + (first + 1) % 5, (first + 10) % 200)
    pairs.write_pairs(pairs.Pairs(first, second, same), tmp_path / "pairs.parquet")
    people_rows = [(f"p{p}", "woman" if p % 2 else "man", f"camera {p % 3}") for p in range(PEOPLE)]
    write_csv(tmp_path / "people.csv", ("identity", "gender", "camera"), people_rows)
    by_photo = [(Path(source).name, people_rows[int(source[1:].split("/")[0])][1]) for source in sources]
    write_csv(tmp_path / "photos.csv", ("photo", "gender"), by_photo)
    columns = zip(*people_rows, strict=True)
    pq.write_table(
        pa.table(dict(zip(("identity", "gender", "camera"), map(list, columns), strict=True))),
        tmp_path / "people.parquet",
    )
    (tmp_path / "lists").mkdir()
    for group in ("woman", "man"):
        names = [name if n % 2 else name.removesuffix(".jpg") for n, (name, g) in enumerate(by_photo) if g == group]
        (tmp_path / f"lists/gender.{group}.txt").write_text("\n".join(names))
    return tmp_path


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def verify(folder: Path, attributes: str, *more: str) -> dict:
    arguments = [folder / "e.npy", folder / "pairs.parquet", "--attributes", folder / attributes, "--out", folder / "s"]
    ran = CliRunner().invoke(cli.app, ["verify", *map(str, arguments), "--far", "0.05", "--bootstrap", "20", *more])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout) if "--json" in more else {"text": ran.output}


def test_tables_lists_and_parquet_give_one_result(scored: Path) -> None:
    found = {name: verify(scored, name, "--json") for name in ("people.csv", "people.parquet", "photos.csv", "lists")}
    columns = {name: each["slices"]["columns"] for name, each in found.items()}
    assert columns["people.csv"] == columns["people.parquet"]
    assert columns["people.csv"].keys() == {"gender", "camera"}
    assert all(each["gender"] == columns["people.csv"]["gender"] for each in columns.values())
    gender = columns["lists"]["gender"]
    assert (gender["photos"], gender["photos_unlabelled"], gender["contradictory"]) == (200, 0, 0)
    assert gender["groups"]["man"]["genuine"] == 120  # three of five photos a person, twice
    assert gender["across"] == {"genuine": 0, "impostor": 0, "false_accepts": 0}  # all impostors are two people apart


def test_what_is_labelled_twice_or_not_at_all_has_no_group(scored: Path) -> None:
    man = scored / "lists/gender.man.txt"
    kept = man.read_text().splitlines()
    man.write_text("\n".join([*kept[:-4], "p1_0000.jpg", "p1_0001"]))  # of a woman
    gender = verify(scored, "lists", "--json")["slices"]["columns"]["gender"]
    assert (gender["contradictory"], gender["photos_unlabelled"]) == (2, 6)
    assert gender["unlabelled"] > 0


def test_tables_and_summary_show_the_groups(scored: Path) -> None:
    text = verify(scored, "people.csv")["text"]
    assert "e by gender" in text
    assert "two groups" in text
    options = on_files.VerifyOptions(far=0.05, trials=20)
    told = on_files.slice_scores(scored / "s", scored / "people.csv", options)
    known = summary.gather_summary(slices={"mine": told})
    (gender, camera) = slice_tables.slice_tables("mine", known["slices"]["mine"])
    assert [row[0] for row in gender.rows] == ["man", "woman", "two groups"]
    assert camera.header[0] == "mine by camera"
    assert "camera 0" in camera.rows[0]
    lines = summary.headline({"verification": {"mine": {"accuracy": 0.9}}, **known})["mine"]
    assert lines["accuracy"] == 0.9
    assert lines["slices"]["gender"]["tar_worst"] == told["columns"]["gender"]["worst"]["tar"]["group"]
    assert json.loads(json.dumps(lines)) == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,gender\nAnn,f\n", "needs one column named photo or identity"),
        ("identity,photo,gender\nAnn,a,f\n", "needs one column named photo or identity"),
        ("identity\nAnn\n", "and a column for each attribute"),
        ("identity,gender\nAnn\n", "row 2: 1 values for 2 columns"),
        ("identity,gender\n,f\n", "a row without identity"),
        ("identity,gender\nAnn,\n", "no value in the column gender"),
        ("identity,age\n" + "".join(f"p{n},{n}\n" for n in range(60)), "age has 60 different values"),
        ("identity,a,a\nAnn,f,g\n", "names a column twice"),
        ("", "cannot read"),
    ],
)
def test_tables_that_make_no_groups_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_attributes(tmp_path / "a.csv")


def test_attributes_of_other_people_are_refused(scored: Path) -> None:
    write_csv(scored / "other.csv", ("identity", "gender"), [("Ann", "woman")])
    ran = CliRunner().invoke(
        cli.app, ["verify", str(scored / "e.npy"), str(scored / "pairs.parquet"), "--out", str(scored / "s")]
    )
    assert ran.exit_code == 0
    with pytest.raises(FormatError, match="names none of the photos or people"):
        on_files.slice_scores(scored / "s", scored / "other.csv", on_files.VerifyOptions(trials=20))


def test_the_page_and_the_summary_show_them_where_the_parameters_ask(scored: Path, tmp_path: Path) -> None:
    verify(scored, "people.csv")
    told = on_files.slice_scores(scored / "s", scored / "people.csv", on_files.VerifyOptions(far=0.05, trials=20))
    run = finished.default().model_copy(update={"attributes": {"synth_lfw": "people.csv"}})
    write_json(tmp_path / "run/metrics/slices/synth_lfw.json", {"synth_lfw": told})
    page = finished.make(tmp_path / "run", run).page()
    assert ">synth_lfw by gender</th>" in page
    assert '<th scope="row">camera 2</th>' in page
    assert "attributes: {synth_lfw: people.csv}" in page
    plain = finished.make(tmp_path / "plain", finished.default()).page()
    assert "by gender" not in plain
    assert "attributes:" not in plain


def test_the_two_lists_of_lfw_contradict_each_other_in_five_photos(mirror: Path, tmp_path: Path) -> None:
    lists = mirror / "lfw-protocols"
    if not (lists / "lfw_female_names.txt").is_file():
        pytest.skip("the mirror has no lists of LFW's gender")
    for group in ("female", "male"):
        (tmp_path / f"gender.{group}.txt").write_bytes((lists / f"lfw_{group}_names.txt").read_bytes())
    read = read_attributes(tmp_path)
    labels = read.labels["gender"]
    assert (len(labels), read.contradictions("gender")) == (13_229, 5)
    assert sum(groups == {"female"} for groups in labels.values()) == 2_961
    assert read.groups("gender", ["a/Allison_Searing_0001.jpg", "Tara_Kirk/Tara_Kirk_0001.jpg"], []) == ["", ""]
