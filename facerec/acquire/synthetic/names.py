"""Names of people who do not exist: pronounceable, neutral, unique within a set."""

from __future__ import annotations

from numpy.random import Generator

_STARTS = (
    "b",
    "br",
    "d",
    "dr",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "sh",
    "t",
    "tr",
    "v",
    "w",
    "z",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "io")
_ENDS = ("", "l", "n", "r", "s", "m", "k", "th", "nd")


def people(count: int, rng: Generator) -> list[str]:
    """`count` different names "First_Last"."""
    names: dict[str, None] = {}
    while len(names) < count:
        names[f"{_word(rng)}_{_word(rng)}"] = None
    return list(names)


def _word(rng: Generator) -> str:
    syllables = [str(rng.choice(_STARTS)) + str(rng.choice(_VOWELS)) for _ in range(2)]
    return ("".join(syllables) + str(rng.choice(_ENDS))).capitalize()
