"""Fail unless two checkouts ran to the same bytes: python same.py FIRST SECOND.

Equal must be dvc.lock, without the digest of the page, and the page, without the one section that says when and on
what it was made.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

PAGE = "reports/index.html"
PROVENANCE = re.compile(r'<section id="provenance">.*?</section>', re.DOTALL)


def locked(root: Path) -> dict[str, Any]:
    """All of dvc.lock but the digest and size of the page, which must be one of its outputs."""
    lock: dict[str, Any] = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))
    outs = lock["stages"]["report"]["outs"]
    kept = [out for out in outs if out["path"] != PAGE]
    if len(kept) != len(outs) - 1:
        sys.exit(f"{root}/dvc.lock does not name {PAGE} once")
    lock["stages"]["report"]["outs"] = kept
    return lock


def page(root: Path) -> str:
    """The page without its provenance, which must be one section of many."""
    text, found = PROVENANCE.subn("", (root / PAGE).read_text(encoding="utf-8"))
    if found != 1 or "</section>" not in text:
        sys.exit(f"{root}/{PAGE} is not a page with one provenance: {found} found")
    return text


def main(first: Path, second: Path) -> None:
    """Compare both checkouts; name what differs."""
    one, other = locked(first), locked(second)
    stages = sorted({*one["stages"], *other["stages"]})
    differ = [stage for stage in stages if one["stages"].get(stage) != other["stages"].get(stage)]
    if differ or one != other:
        sys.exit(f"dvc.lock differs: {', '.join(differ) or 'outside its stages'}")
    if page(first) != page(second):
        sys.exit(f"{PAGE} differs outside its provenance")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
