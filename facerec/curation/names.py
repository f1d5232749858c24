"""Names of people as different lists write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def same_names(train: Sequence[str], test: Sequence[str]) -> set[tuple[int, int]]:
    """Pairs of numbers of identities with the same `plain_name`."""
    known: dict[str, list[int]] = {}
    for number, name in enumerate(test):
        if plain := plain_name(name):
            known.setdefault(plain, []).append(number)
    return {(number, other) for number, name in enumerate(train) for other in known.get(plain_name(name), [])}


def plain_name(name: str) -> str:
    """A person's name without case, accents, signs and initials; "" where it is none of two words or more.

    >>> plain_name("José_M._Aznar"), plain_name("jose aznar"), plain_name("n000123")
    ('jose aznar', 'jose aznar', '')
    """
    plain = unicodedata.normalize("NFKD", name.replace("_", " ")).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.split(r"[^a-z0-9]+", plain) if len(word) > 1 and not word.isdigit()]
    return " ".join(words) if len(words) > 1 else ""
