"""Ways to spoil bytes: what damaged disks, cut downloads and hostile people do to files."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

LONGEST = 1 << 17
"""Bytes after which a mutated input grows no more."""

_NUMBERS = (-1, 0, 1, 2, 127, 128, 255, 256, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 1 << 40, (1 << 63) - 1)
_FORMATS = ("<B", "<H", "<I", "<Q", ">H", ">I", ">Q")

Mutation = Callable[[bytearray, Random, Sequence[bytes]], None]


def mutate(data: bytes, rng: Random, tokens: Sequence[bytes]) -> bytes:
    """`data` after one to eight mutations, mostly few; `tokens` are byte strings that matter to its reader."""
    spoiled = bytearray(data)
    for _ in range(min(int(rng.expovariate(0.6)) + 1, 8)):
        rng.choice(_MUTATIONS)(spoiled, rng, tokens)
    return bytes(spoiled[:LONGEST])


def _flip_bit(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    del data[_place(data, rng) :]


def _extreme_number(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    """A length, a count or an offset that no honest writer has."""
    form = rng.choice(_FORMATS)
    width = struct.calcsize(form)
    number = rng.choice((*_NUMBERS, len(data), len(data) + 1)) & ((1 << 8 * width) - 1)
    place = _place(data, rng) // width * width if rng.random() < 0.7 else _place(data, rng)
    data[place : place + width] = struct.pack(form, number)


def _near_number(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    """A length or an offset that is off by a little."""
    place = _place(data, rng) & ~3
    if place + 4 <= len(data):
        number = int.from_bytes(data[place : place + 4], "little") + rng.choice((-8, -4, -1, 1, 4, 8))
        data[place : place + 4] = (number & 0xFFFFFFFF).to_bytes(4, "little")


def _duplicate(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    block = _block(data, rng)
    place = _place(data, rng)
    data[place:place] = block * rng.choice((1, 1, 2, 16))


def _splice(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    """A block of the file over another place of it."""
    block = _block(data, rng)
    place = _place(data, rng)
    data[place : place + len(block)] = block


def _remove(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    place = _place(data, rng)
    del data[place : place + 1 + int(rng.expovariate(1 / 16))]


def _token(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    if tokens:
        token, place = rng.choice(tokens), _place(data, rng)
        data[place : place + rng.choice((0, len(token)))] = token


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _set_byte,
    _cut,
    _extreme_number,
    _extreme_number,
    _near_number,
    _duplicate,
    _splice,
    _remove,
    _token,
)


def _place(data: bytearray, rng: Random) -> int:
    """A place in the data; half of the time near its beginning or its end, where headers and footers are."""
    where = rng.random()
    near = min(int(rng.expovariate(1 / 64)), len(data))
    return near if where < 0.25 else len(data) - near if where < 0.5 else rng.randint(0, len(data))


def _block(data: bytearray, rng: Random) -> bytes:
    place = _place(data, rng)
    return bytes(data[place : place + 1 + int(rng.expovariate(1 / 64))])
