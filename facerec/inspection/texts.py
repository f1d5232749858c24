"""What a text is: pairs, a list of photos, a noise list, the devkit's JSON, a pack's index or property."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facerec.core import FormatError
from facerec.inspection.finding import Finding, spread_of
from facerec.interop import lists, recordio
from facerec.store import pair_lists, pairs

_LARGEST = 1 << 30
"""Bytes of a text that is read whole."""
_PAIR = re.compile(r"(\S+)[\s,]+(\S+)[\s,]+([01]|-1)")
_LABELLED = re.compile(r"(.*\S)\s+(-?\d+)")
_NUMBERS = re.compile(r"\d+[,\t ]+\d+")
_FACESCRUB = re.compile(r"\S+ -?\d+(\.\d+)?(,-?\d+(\.\d+)?){3} -?\d+(\.\d+)?(,-?\d+(\.\d+)?)*,?")
_CFP = re.compile(r"\d+\s+\S+/\d+/(frontal|profile)/\S+")


def recognise(path: Path) -> Finding | None:
    """What the text `path` is; None when it is no text or none that is known."""
    if path.stat().st_size > _LARGEST:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or "\0" in text:
        return None
    found = _json(path, text) if text.lstrip()[:1] in "{[" else _lines(path, lines)
    return None if found is None else Finding(found.kind, {**found.facts, "bytes": path.stat().st_size})


def _lines(path: Path, lines: list[str]) -> Finding | None:
    looks: tuple[Callable[[Path, list[str]], Finding | None], ...] = (
        _property, _index, _lfw, _cfp, _pairs, _boxes, _labelled, _photos
    )  # fmt: skip
    for look in looks:
        found = look(path, lines)
        if found is not None:
            return found
    return None


def _property(path: Path, lines: list[str]) -> Finding | None:
    if path.name != "property":
        return None
    identities, size = recordio.read_property(path)
    return Finding("property of a pack", {"identities": identities, "size": f"{size[0]}x{size[1]}"})


def _index(path: Path, lines: list[str]) -> Finding | None:
    if path.suffix != ".idx" or not _all(_NUMBERS, lines):
        return None
    reader = path.with_suffix(".rec")
    facts: dict[str, Any] = {"records": len(lines), "rec_beside": reader.is_file()}
    if reader.is_file():
        note = recordio.RecordReader(reader).index_note
        facts |= {"fits": note == "", **({"note": note} if note else {})}
    return Finding("index of a .rec", facts)


def _lfw(path: Path, lines: list[str]) -> Finding | None:
    """LFW's pairs.txt, told by its first line of one or two numbers."""
    if not re.fullmatch(r"\d+(\s+\d+)?", lines[0].strip()) or len(lines) < 2 or len(lines[1].split()) < 3:
        return None
    found = pairs.read_lfw(path)
    folds = int(lines[0].split()[0]) if len(lines[0].split()) == 2 else 1
    same = sum(each[2] for each in found)
    people = {name for first, second, _ in found for name, _ in (first, second)}
    photos = {photo for first, second, _ in found for photo in (first, second)}
    facts = {"pairs": len(found), "same": same, "different": len(found) - same, "folds": folds}
    return Finding("pairs.txt of LFW", {**facts, "identities": len(people), "photos": len(photos)})


def _cfp(path: Path, lines: list[str]) -> Finding | None:
    """A file of CFP's Protocol: Pair_list_F.txt, Pair_list_P.txt, or same.txt and diff.txt of a split."""
    if _all(_CFP, lines):
        return Finding("photo list of CFP's protocol", {"photos": len(lines), "names": _names(lines)})
    if path.stem in ("same", "diff") and _all(re.compile(r"\d+,\d+"), lines):
        return Finding(
            "pairs of a split of CFP's protocol", {"pairs": len(lines), "same": path.stem == "same"}
        )
    return None


def _pairs(path: Path, lines: list[str]) -> Finding | None:
    """InsightFace-style lines "path path same"."""
    matches = [_PAIR.fullmatch(line.strip()) for line in lines]
    if not all(match is not None and "." in match[1] and "." in match[2] for match in matches):
        return None
    same = sum(match is not None and match[3] == "1" for match in matches)
    photos = {name for match in matches if match is not None for name in match.groups()[:2]}
    facts = {"pairs": len(lines), "same": same, "different": len(lines) - same, "photos": len(photos)}
    return Finding("list of pairs", {**facts, "names": _names(lines)})


def _labelled(path: Path, lines: list[str]) -> Finding | None:
    """Lines "path label"."""
    facts: dict[str, Any]
    matches = [_LABELLED.fullmatch(line.strip()) for line in lines]
    labels = [int(match[2]) for match in matches if match is not None and "." in match[1]]
    if len(labels) < len(lines):
        return None
    if path.name.startswith("pairs"):  # CALFW's and CPLFW's lists have the same lines, two a pair
        same = sum(pair[2] for pair in pair_lists.read_pair_list(path))
        facts = {"pairs": len(lines) // 2, "same": same, "different": len(lines) // 2 - same}
        return Finding("pairs of CALFW or CPLFW", {**facts, "names": _names(lines)})
    people, counts = np.unique(labels, return_counts=True)
    facts = {"photos": len(lines), "identities": len(people)}
    facts |= {"images_per_identity": spread_of(counts), "labels": {"min": min(labels), "max": max(labels)}}
    return Finding("list file of photos and labels", {**facts, "names": _names(lines)})


def _boxes(path: Path, lines: list[str]) -> Finding | None:
    """FaceScrub's lines "path x1,y1,x2,y2 landmarks"."""
    if not _all(_FACESCRUB, lines):
        return None
    return Finding("boxes and landmarks of FaceScrub", {"photos": len(lines), "names": _names(lines)})


def _photos(path: Path, lines: list[str]) -> Finding | None:
    """One photo a line, '#' before a comment: a noise list, or any list of photos."""
    entries = lists.read_noises(path)
    if not entries or any("." not in entry or len(entry) > 1000 for entry in entries):
        return None
    noise = "nois" in path.name.lower() or lines[0].startswith("#")
    facts = {"entries": len(entries), "unique": len(set(entries)), "names": _names(entries)}
    return Finding("noise list" if noise else "list of photos", facts)


def _json(path: Path, text: str) -> Finding:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"{path} is damaged: it begins as JSON, but {error}.") from error
    if isinstance(value, dict) and "path" in value:
        found = lists.read_feature_list(path)
        people = {"identities": len(set(found.ids))} if found.ids else {}
        return Finding(
            "feature list of the devkit", {"photos": len(found.paths), **people, "names": found.paths[:5]}
        )
    if isinstance(value, dict) and {"cmc", "roc"} & value.keys():
        points = {name: len(value[name][0]) for name in ("cmc", "roc") if _curve(value.get(name))}
        ranks = {"rank1": value["cmc"][1][0]} if "cmc" in points and value["cmc"][0][:1] == [0] else {}
        return Finding("result of the devkit: curves", {**ranks, "points": points})
    if (
        isinstance(value, list)
        and value
        and all(isinstance(each, dict) and "probes" in each for each in value)
    ):
        return Finding("result of the devkit: matches", {"probes": len(value)})
    keys = list(value)[:5] if isinstance(value, dict) else []
    return Finding("JSON of no known kind", {"items": len(value), "names": [str(key) for key in keys]})


def _curve(value: Any) -> bool:
    """Whether the value is two lists of one length, not empty."""
    pair = isinstance(value, list) and len(value) == 2 and all(isinstance(each, list) for each in value)
    return pair and 0 < len(value[0]) == len(value[1])


def _all(pattern: re.Pattern[str], lines: list[str]) -> bool:
    return all(pattern.fullmatch(line.strip()) for line in lines)


def _names(lines: list[str]) -> list[str]:
    return [line.strip()[:120] for line in lines[:5]]
