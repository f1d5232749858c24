"""Reading every image of a set of face shards against reading its files, one thread, both from memory.

Images are views into a mapped file, so only memory should limit how fast they are read. "copied" makes bytes of every
image, as reading a file does; "viewed" is all that decoding needs. A folder of JPEG files is measured as the usual
alternative. The bytes are noise as large as 112x112 faces; that both sides are equal is checked first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _timing import print_head, print_row, side_by_side

from facerec.store import shard_writing, shards

IMAGES = 20_000
CHUNK = 1 << 20


def rows() -> Iterator[dict[str, object]]:
    """Images of 3 to 9 KB of 200 people."""
    rng = np.random.default_rng(1)
    for number, size in enumerate(rng.integers(3000, 9000, IMAGES)):
        label = number % 200
        name = f"{label:03d}"
        yield {"image": rng.bytes(int(size)), "label": label, "identity": name, "source": f"{name}/{number}.jpg"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set")
        shard_writing.write_shards(rows(), path, shards.Meta("faces", "noise", size=(112, 112), template="arcface-112"))
        loose = [Path(folder, f"{number}.jpg") for number in range(IMAGES)]
        for place, row in zip(loose, rows(), strict=True):
            place.write_bytes(row["image"])
        compare(shards.read_shards(path), sorted(path.iterdir()), loose)


def compare(found: shards.Shards, parts: list[Path], loose: list[Path]) -> None:
    assert all(found.image(number) == row["image"] for number, row in enumerate(rows()))
    assert [place.read_bytes() for place in loose] == [bytes(found.image(row)) for row in range(len(found))]
    shuffled = np.random.default_rng(2).permutation(IMAGES).tolist()
    print_head(f"{IMAGES:,} images", "shards", "peer")
    for what, ours, peer in (
        ("in order, copied / whole files read", lambda: copy(found, range(IMAGES)), lambda: read_parts(parts)),
        ("in order, viewed / whole files read", lambda: view(found, range(IMAGES)), lambda: read_parts(parts)),
        (
            "in order, copied / a file an image",
            lambda: copy(found, range(IMAGES)),
            lambda: read_loose(loose, range(IMAGES)),
        ),
        ("random, copied / a file an image", lambda: copy(found, shuffled), lambda: read_loose(loose, shuffled)),
        ("open the set / read its files", lambda: shards.read_shards(found.path), lambda: read_parts(parts)),
    ):
        seconds = side_by_side({"ours": ours, "peer": peer})
        print_row(what, seconds["ours"], seconds["peer"], IMAGES)


def copy(found: shards.Shards, order: range | list[int]) -> None:
    for number in order:
        bytes(found.image(number))


def view(found: shards.Shards, order: range | list[int]) -> None:
    for number in order:
        found.image(number)


def read_parts(parts: list[Path]) -> None:
    for part in parts:
        with part.open("rb", buffering=0) as file:
            while file.read(CHUNK):
                pass


def read_loose(loose: list[Path], order: range | list[int]) -> None:
    for number in order:
        loose[number].read_bytes()


if __name__ == "__main__":
    main()
