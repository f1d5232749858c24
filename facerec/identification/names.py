"""One spelling for photos that the published lists spell differently.

The cropped FaceScrub list is all .png with underscores. The uncropped list names the same photos in the same
order, but with spaces, and with jpg, png, jpeg, JPG, PNG, gif or no extension at all; other systems write
underscores and .jpg. The noise list has the base names of the cropped list. MegaFace photos are a1/a2/name.
"""

from __future__ import annotations

from pathlib import PurePosixPath

_EXTENSIONS = {".jpg", ".jpeg", ".png", ".gif", ".bmp"}


def facescrub(photo: str) -> str:
    """The base name of the cropped list: 'A B/A B_12.JPG', 'A_B/A_B_12' and 'A_B_12.jpg' are A_B_12.png."""
    path = PurePosixPath(photo.strip())
    stem = path.stem if path.suffix.lower() in _EXTENSIONS else path.name
    return f"{stem.replace(' ', '_')}.png"


def megaface(photo: str) -> str:
    """'a1/a2/name' of a distractor, whatever folders lead there."""
    return "/".join(PurePosixPath(photo.strip()).parts[-3:])
