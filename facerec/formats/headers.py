"""What the header of an encoded image says of it: format and size, told without decoding its pixels."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from facerec.errors import ImageError
from facerec.images import pillow_formats

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""Values of EXIF orientation that exchange height and width."""
_SUFFIXES = {"JPEG": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif"}


@dataclass(frozen=True)
class Header:
    """Format by Pillow's name ("JPEG", "PNG", ...) and the size in pixels of the upright image."""

    format: str
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def suffix(self) -> str:
        """Usual extension of such a file, ".jpg" or the like."""
        return _SUFFIXES.get(self.format, f".{self.format.lower()}")


def read(data: bytes | memoryview) -> Header:
    """Header of an encoded image; ImageError when the bytes begin no image of a known format."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on size and metadata: no pixel is decoded here
            with Image.open(io.BytesIO(data), formats=["JPEG", *pillow_formats()]) as image:
                kind = "JPEG" if image.format == "MPO" else str(image.format)
                width, height = image.size
                if "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED:
                    width, height = height, width
                return Header(kind, height, width)
    except UnidentifiedImageError:
        raise ImageError("The bytes are no image of a known format.") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"The image is too large ({error}).") from error
    except Exception as error:  # for damaged files Pillow raises nearly anything, up to IndexError
        raise ImageError(f"The header of the image is damaged ({error}).") from error
