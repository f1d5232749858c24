"""Open-set evaluation: rates equal to a brute force, protocols as published, and what cannot be measured is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facerec.core import FormatError, ParamsError
from facerec.evaluation.open_set import open_set, protocols, scoring
from facerec.evaluation.open_set.protocols import OpenSetProtocol, OpenSetTrial
from tests.matlab import write_mat

Floats = NDArray[np.float64]


def world(people: int = 60, photos: int = 6, dim: int = 16, noise: float = 1.2, seed: int = 0) -> tuple[Floats, Floats]:
    """Embeddings of any length and the person of each."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(people), photos))
    faces = rng.normal(size=(people, dim))[who] + noise * rng.normal(size=(len(who), dim))
    return faces * rng.uniform(0.5, 20, size=(len(who), 1)), who


def cosines(embeddings: Floats) -> Floats:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def brute_vr(scores: Floats, who: Floats, photos: Floats, far: float) -> float:
    genuine, impostor = [], []
    for place, first in enumerate(photos):
        same = who[photos[place + 1 :]] == who[first]
        row = scores[first, photos[place + 1 :]]
        genuine.append(row[same])
        impostor.append(row[~same])
    strangers = np.sort(np.concatenate(impostor))[::-1]
    return float(np.mean(np.concatenate(genuine) >= strangers[round(far * len(strangers)) - 1]))


def brute_search(scores: Floats, who: Floats, trial: OpenSetTrial, far: float, rank: int) -> tuple[float, float]:
    """DIR at FAR and closed-set rank k, with the best photo of each person in the gallery."""
    strangers = sorted((max(scores[probe, each] for each in trial.gallery) for probe in trial.unknown), reverse=True)
    threshold = strangers[round(far * len(strangers)) - 1] if strangers else -np.inf
    detected = found = 0
    for probe in trial.genuine:
        best = {who[each]: -np.inf for each in trial.gallery}
        for each in trial.gallery:
            best[who[each]] = max(best[who[each]], scores[probe, each])
        mate = best[who[probe]]
        among = sum(score > mate for score in best.values()) < rank
        found += among
        detected += among and mate >= threshold
    return detected / len(trial.genuine), found / len(trial.genuine)


def test_all_pairs_equal_a_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, who = world()
    expected = {far: brute_vr(cosines(embeddings), who, np.arange(len(who)), far) for far in (1e-1, 1e-2, 1e-3, 1e-4)}
    names = [f"person {number}" for number in who]
    for block in (1 << 21, 5_000, 1):
        monkeypatch.setattr(scoring, "_BLOCK", block)
        found = open_set(embeddings, names, "all-pairs", vr_fars=tuple(expected))
        assert {far: rate.mean for far, rate in found.vr.items()} == expected
        assert found.metrics()["genuine_pairs"] == 60 * 15
        assert found.metrics()["impostor_pairs"] == 360 * 359 // 2 - 60 * 15


@pytest.mark.parametrize("photos", [1, 3])
def test_searches_equal_a_brute_force(photos: int, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, who = world(noise=1.6)
    protocol = protocols.draw_protocol(who, trials=3, gallery_photos=photos)
    scores = cosines(embeddings)
    for block in (1 << 21, 700):
        monkeypatch.setattr(scoring, "_BLOCK", block)
        found = open_set(embeddings, [""] * len(who), protocol, dir_fars=(0.01, 0.1))
        for far in (0.01, 0.1):
            for rank in (1, 5):
                expected = [brute_search(scores, who, trial, far, rank) for trial in protocol.trials]
                assert found.dir_at_rank(rank)[far].trials == tuple(detected for detected, _ in expected)
                assert (closed := found.closed_rank(rank)) is not None
                assert closed.trials == tuple(each for _, each in expected)
        assert 0 < found.dir[0.01].mean < found.dir[0.1].mean < 1


def test_a_template_is_the_mean_direction_of_a_person() -> None:
    embeddings, who = world(noise=1.6)
    protocol = protocols.draw_protocol(who, trials=1, gallery_photos=3)
    trial, unit = protocol.trials[0], embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    people = np.unique(who[trial.gallery])
    template = np.array([unit[trial.gallery[who[trial.gallery] == each]].sum(axis=0) for each in people])
    template /= np.linalg.norm(template, axis=1, keepdims=True)
    right = people[np.argmax(unit[trial.genuine] @ template.T, axis=1)] == who[trial.genuine]
    found = open_set(embeddings, [""] * len(who), protocol, fusion="mean")
    assert found.closed_rank1 is not None
    assert found.closed_rank1.mean == right.mean()
    assert found.closed_rank1 != open_set(embeddings, [""] * len(who), protocol).closed_rank1


def test_scores_have_the_same_bits_in_any_order_and_company() -> None:
    embeddings, _ = world(dim=512)
    units = scoring.unit_rows(embeddings)
    scores = units.scores(units)
    order = np.random.default_rng(1).permutation(len(embeddings))
    np.testing.assert_array_equal(units.take(order).scores(units), scores[order])
    np.testing.assert_array_equal(scores, scores.T)
    rng = np.random.default_rng(2)
    turned = scoring.UnitRows(units.rows[:, rng.permutation(512)], units.missing)
    np.testing.assert_array_equal(turned.scores(turned), scores)
    assert np.abs(scores - cosines(embeddings)).max() < 1e-7


def test_length_does_not_matter() -> None:
    embeddings, who = world()
    names = [str(number) for number in who]
    scaled = embeddings * np.exp(np.random.default_rng(5).normal(size=(len(who), 1)) * 40)
    one, other = open_set(embeddings, names, "all-pairs"), open_set(scaled, names, "all-pairs")
    assert one.metrics() == other.metrics()


def test_a_photo_without_a_face_is_an_error() -> None:
    embeddings, who = world(people=20, noise=0.1)
    protocol = protocols.draw_protocol(who, trials=1)
    trial = protocol.trials[0]
    both = replace(protocol, trials=(replace(trial, pairs=np.arange(len(who))),))
    sound = open_set(embeddings, [""] * len(who), both, vr_fars=(0.01,), dir_fars=(0.1,))
    assert (sound.vr[0.01].mean, sound.dir[0.1].mean, sound.failures) == (1, 1, 0)
    embeddings[trial.genuine[0]] = np.nan
    embeddings[trial.gallery[who[trial.gallery] != who[trial.genuine[0]]][0]] = 0
    lost = open_set(embeddings, [""] * len(who), both, vr_fars=(0.01,), dir_fars=(0.1,))
    assert lost.failures == 2
    assert lost.vr[0.01].mean == 1 - 10 / 300  # 5 genuine pairs each of 20 people with 15
    assert lost.closed_rank1 is not None
    assert lost.closed_rank1.mean == lost.dir[0.1].mean == 1 - 6 / 50  # one probe, and five of the person not enrolled


def test_mean_minus_deviation_is_what_is_reported() -> None:
    embeddings, who = world()
    protocol = protocols.draw_protocol(who, trials=4)
    found = open_set(embeddings, [""] * len(who), protocol).dir[0.1]
    assert len(set(found.trials)) > 1
    assert found.std == np.std(found.trials, ddof=1)
    assert found.reported == found.mean - found.std


def test_curves_hold_the_rates_and_their_trials() -> None:
    embeddings, who = world()
    protocol = protocols.draw_protocol(who, trials=4)
    found = open_set(embeddings, [""] * len(who), protocol)
    ranges, deviations = found.dir_curve(), found.dir_curve(band="std")
    assert ranges[0]["fpr"] == 1 / len(protocol.trials[0].unknown)
    assert ranges[-1]["fpr"] == 1
    for record, other in zip(ranges, deviations, strict=True):
        over = [trial.search.rate(record["fpr"]) for trial in found.trials if trial.search]
        assert (record["lo"], record["hi"]) == (min(over), max(over))
        assert record["tpr"] == other["tpr"] == pytest.approx(np.mean(over))
        assert other["hi"] == pytest.approx(min(1, np.mean(over) + np.std(over, ddof=1)))
    assert [each["tpr"] for each in ranges] == sorted(each["tpr"] for each in ranges)
    assert found.vr_curve() == []


def test_rates_without_support_are_left_out() -> None:
    embeddings, who = world()
    found = open_set(embeddings, [str(number) for number in who], "all-pairs", vr_fars=(1e-3, 1e-5))
    assert list(found.vr) == [1e-3]
    assert found.unsupported == ("vr@1e-5",)
    assert (found.dir, found.closed_rank1) == ({}, None)
    assert found.answer()["dir"] is None
    assert found.answer()["vr"]["mean"] == found.vr[1e-3].mean


def small_lists(folder: Path) -> list[str]:
    """BLUFR's and Best-Rowden's files for twelve photos of six people; the names of the photos."""
    people = np.repeat(np.arange(1, 7), 2)
    photos = [f"P{number}_{place:04d}.jpg" for number in range(1, 7) for place in (1, 2)]
    cells = {
        "testIndex": np.arange(1, 11),
        "galIndex": np.array([1, 3]),
        "probIndex": np.array([2, 4, 5, 6, 7, 8, 9, 10]),
    }
    lists = {key: [each[:, None].astype("u2")] * 2 for key, each in cells.items()}
    labels = people[:, None].astype("u2")
    write_mat(folder / "blufr_lfw_config.mat", {"imageList": photos, "labels": labels, **lists})
    write_mat(folder / "id_lfw.mat", {"id_lfw": labels})
    write_mat(folder / "imagelist_lfw.mat", {"imagelist_lfw": [f"{name[:2]}\\{name}" for name in photos]})
    for end, roles in (("", ([1, 3], [2, 4], [5, 6])), ("_close", ([1, 3], [2], [7, 8]))):
        for role, rows in zip(("gallery", "genuine_probe", "impostor_probe"), roles, strict=True):
            parts = {f"{role}_index_{n}": np.array([rows], "i4") for n in range(10, 0, -1)}
            write_mat(folder / f"lfw_{role}_index{end}.mat", parts, compressed=False)
    return photos


def test_published_lists_are_read(tmp_path: Path) -> None:
    photos = small_lists(tmp_path)
    blufr = protocols.load_protocol("blufr", tmp_path)
    assert len(blufr.trials) == 2
    assert blufr.photos[0] == "P1_0001"
    assert [part.tolist() for part in (blufr.trials[0].gallery, blufr.trials[0].genuine)] == [[0, 2], [1, 3]]
    assert blufr.trials[0].unknown.tolist() == list(range(4, 10))
    assert blufr.trials[0].pairs.tolist() == list(range(10))
    opened, closed = (protocols.load_protocol(f"best-rowden-{kind}", tmp_path) for kind in ("open", "closed"))
    assert len(opened.trials) == len(closed.trials) == 10
    assert (opened.trials[0].unknown.tolist(), closed.trials[0].unknown.tolist()) == ([4, 5], [])
    named = [f"folder/{name.replace('.jpg', '.png')}" for name in reversed(photos)]
    assert protocols.match_photos(opened, named).tolist() == list(range(11, -1, -1))


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        ({"gallery": [0, 1], "genuine": [1]}, "names a photo twice"),
        ({"gallery": [0], "genuine": [2]}, "somebody who is not in its gallery"),
        ({"gallery": [0], "genuine": [1], "unknown": [2, 9]}, "names photo 10 of 4"),
        ({"gallery": [0], "genuine": [1], "unknown": [1]}, "names a photo twice"),
        ({"gallery": [0]}, "gallery without genuine probes"),
        ({"gallery": [0], "genuine": [1], "pairs": [1, 1]}, "names a photo twice"),
        ({}, "measures nothing"),
    ],
)
def test_trials_that_contradict_themselves_are_refused(lists: dict[str, list[int]], told: str) -> None:
    with pytest.raises(FormatError, match=told):
        OpenSetProtocol(
            "mine", np.array([0, 0, 1, 1]), (OpenSetTrial(**{key: np.array(each) for key, each in lists.items()}),)
        )


def test_what_cannot_be_measured_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, who = world(people=6, photos=2)
    names = [str(number) for number in who]
    photos = small_lists(tmp_path)
    blufr = protocols.load_protocol("blufr", tmp_path)
    with pytest.raises(FormatError, match="only 0 of the 12 photos of blufr"):
        open_set(embeddings, [f"x{number}.jpg" for number in range(12)], blufr)
    with pytest.raises(FormatError, match="same photo"):
        open_set(embeddings, [*photos[:11], photos[0]], blufr)
    with pytest.raises(FormatError, match="11 names do not fit 12 rows"):
        open_set(embeddings, names[:11], "all-pairs")
    with pytest.raises(FormatError, match="is infinite"):
        open_set(np.full((12, 2), np.inf), names, "all-pairs")
    with pytest.raises(FormatError, match="no pairs of one person"):
        open_set(embeddings, [str(number) for number in range(12)], "all-pairs")
    with pytest.raises(ParamsError, match=r"no open-set protocol 'blurf'; choose from blufr"):
        open_set(embeddings, names, "blurf")
    with pytest.raises(ParamsError, match="nobody has more than 2 photos"):
        protocols.draw_protocol(who, gallery_photos=2)
    with pytest.raises(ParamsError, match="fused by max or mean"):
        open_set(embeddings, names, "all-pairs", fusion="sum")
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError, match="facerec download lfw_protocols"):
        open_set(embeddings, names, "best-rowden-open")


@pytest.mark.slow
def test_a_published_trial_equals_a_brute_force(mirror: Path) -> None:
    """BLUFR's first trial, with made-up embeddings: 52.6 million impostor pairs, 9,281 probes."""
    protocol = protocols.load_protocol("blufr", mirror / "lfw-protocols")
    who, trial, rng = protocol.people, protocol.trials[0], np.random.default_rng(0)
    embeddings = rng.normal(size=(who.max() + 1, 64))[who] + rng.normal(size=(len(who), 64))
    found = open_set(embeddings, protocol.photos, replace(protocol, trials=(trial,)))
    assert found.metrics()["genuine_pairs"] == 231_834
    assert found.metrics()["impostor_pairs"] == 52_612_506
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    genuine, impostor = [], []
    for place, first in enumerate(trial.pairs[:-1]):
        rest = trial.pairs[place + 1 :]
        row = unit[rest] @ unit[first]
        genuine.append(row[who[rest] == who[first]])
        impostor.append(row[who[rest] != who[first]])
    strangers = np.sort(np.concatenate(impostor))[::-1]
    for far, rate in found.vr.items():
        threshold = strangers[round(far * len(strangers)) - 1]
        assert rate.mean == pytest.approx(np.mean(np.concatenate(genuine) >= threshold), abs=1e-5)
    scores = unit[trial.genuine] @ unit[trial.gallery].T
    mate = scores[np.arange(len(scores)), np.argmax(who[trial.gallery] == who[trial.genuine][:, None], axis=1)]
    first = (scores > mate[:, None]).sum(axis=1) == 0
    strangers = np.sort((unit[trial.unknown] @ unit[trial.gallery].T).max(axis=1))[::-1]
    assert found.dir[0.01].mean == np.mean(first & (mate >= strangers[round(0.01 * len(strangers)) - 1]))
    assert found.closed_rank1 is not None
    assert found.closed_rank1.mean == first.mean()
