"""Encoded photos to pixels and back.

Every decoded image is uint8 RGB (h, w, 3), upright (EXIF orientation applied; damaged metadata is ignored). Grey becomes
RGB; of 16 bits the upper 8 are kept; CMYK and YCCK are taken as Adobe's inverted kind; an alpha channel is dropped, as in
OpenCV; colour profiles are ignored; an animation gives its first frame. Formats are recognised by content, not by name.
JPEGs are decoded by OpenCV (2.3 times as fast as Pillow, equal bits), other formats by Pillow.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from facerec.core import ImageError

MAX_PIXELS = 100_000_000
"""Photos larger than this (10,000 x 10,000) are refused: a few kilobytes can otherwise ask for gigabytes of
memory. Decoding takes up to 14 bytes a pixel."""

SUBSAMPLINGS = {
    "yuv444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "yuv422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "yuv420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}
"""How finely a JPEG keeps colour: name -> OpenCV's flag."""

# What Pillow may open: pixel formats only, nothing that is a program or a document (EPS, PDF, WMF).
_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_ORIENTATION = 0x0112  # EXIF tag

# JPEG markers (ITU-T T.81, table B.1)
_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x00, 0x01, 0xFF, *range(0xD0, 0xD9)}

_passed = b"none yet"
"""Header of the JPEG that passed `_check_jpeg` last. The faces of a set nearly all have the same one."""


def decode(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Pixels of an encoded photo: uint8 RGB (h, w, 3), upright.

    Raises:
        ImageError: the bytes are empty, not an image, cut short, or have more than MAX_PIXELS; the message says so.

    Example:
        >>> decode(encode_jpeg(np.zeros((40, 30, 3), np.uint8))).shape
        (40, 30, 3)
    """
    global _passed
    if bytes(data[: len(_passed)]) == _passed and data[-2:] == _END:
        return _decode_jpeg(data)
    if not data:
        raise ImageError("The file is empty.")
    if data[:2] != _START:
        return _decode_other(bytes(data))
    # OpenCV silently fills the missing part of a cut JPEG with grey, so the markers are checked first.
    _passed = _check_jpeg(bytes(data))
    return _decode_jpeg(data)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 95, subsampling: str = "yuv420") -> bytes:
    """JPEG bytes of an RGB image (h, w, 3); equal pixels give equal bytes.

    `subsampling` of the colour channels is one of SUBSAMPLINGS: "yuv444" keeps them whole, "yuv420" halves both
    their sides, as nearly every JPEG does. Raises ImageError for other pixels or another subsampling.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"A JPEG is made of uint8 (h, w, 3) pixels, not {image.dtype} {image.shape}.")
    if subsampling not in SUBSAMPLINGS:
        raise ImageError(f"No subsampling {subsampling!r}; use one of {', '.join(SUBSAMPLINGS)}.")
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    factor = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLINGS[subsampling])
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, *factor])
    return encoded.tobytes()


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"The image has {width}x{height} pixels, more than the {MAX_PIXELS:,} allowed.")


def _decode_jpeg(data: bytes | memoryview) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"The JPEG cannot be decoded ({error.err}).") from error
    if image is None:
        raise ImageError("The JPEG is damaged and cannot be decoded.")
    return np.asarray(image, np.uint8)


def _check_jpeg(data: bytes) -> bytes:
    """The header, up to the marker of the first scan; ImageError if it is too large or no end marker follows.

    Goes from marker to marker and skips bytes between segments.
    """
    position, last = 2, len(data) - 3
    while 0 <= (position := data.find(b"\xff", position)) < last:
        marker = data[position + 1]
        if marker == _SCAN:
            # Inside a scan a byte ff is always followed by 00 or a restart, so this is the real end,
            # not that of a thumbnail, which sits in a segment before the scan.
            if data.rfind(_END, position) < 0:
                break
            return data[: position + 2]
        if marker in _WITHOUT_LENGTH:
            position += 1
            continue
        if marker in _FRAMES and position + 9 <= len(data):
            height, width = (int.from_bytes(data[position + k : position + k + 2]) for k in (5, 7))
            _check_size(width, height)
        position += 2 + (data[position + 2] << 8 | data[position + 3])
    raise ImageError(f"The JPEG is cut short: it has no end marker within its {len(data):,} bytes.")


def _decode_other(data: bytes) -> NDArray[np.uint8]:
    with _open_image(data, pillow_formats(), _unknown(data)) as image:
        _check_size(*image.size)
        pixels = _to_rgb(image)
        return _upright(pixels, _orientation(image))


@contextmanager
def _open_image(data: bytes | memoryview, formats: list[str], unknown: str) -> Iterator[Image.Image]:
    """The image by Pillow; ImageError where it or the block fails, with the sentence `unknown` for other formats."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on damaged metadata: the pixels may be fine
            with Image.open(io.BytesIO(data), formats=formats) as image:
                yield image
    except UnidentifiedImageError:
        raise ImageError(unknown) from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"The image has more than the {MAX_PIXELS:,} pixels allowed.") from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # for damaged files Pillow raises nearly anything, up to IndexError
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"The image is damaged or cut short ({reason}).") from error


@cache
def pillow_formats() -> list[str]:
    """Formats that Pillow may open besides JPEG: pixel formats only, as far as this build supports them.

    AVIF comes with Pillow from 11.3 on, HEIF (HEIC) with the package pillow-heif.
    """
    Image.init()
    with suppress(ModuleNotFoundError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return [name for name in _FORMATS if name in Image.OPEN]


def _unknown(data: bytes | memoryview, other: str = "The file is not an image of a known format.") -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return "The file is a HEIC photo; pip install 'facerec[heic]', or convert it to JPEG."
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "The file is an AVIF photo, which this Pillow cannot read; install Pillow 11.3 or newer."
    return other


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels (h, w, 3) as they are stored."""
    if image.mode == "F":
        raise ImageError("The image holds floating-point numbers, whose black and white are unknown.")
    if image.mode.startswith("I"):  # 16 or 32-bit grey, which Pillow would clip instead of scaling
        deep = np.clip(np.asarray(image), 0, 65535)
        grey = (deep >> 8 if image.mode != "I" or deep.max() > 255 else deep).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation of a loaded image, 1 (upright) where there is none that can be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata: struct.error, SyntaxError, ...; the pixels are fine
        return 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels turned and mirrored as EXIF says (1 to 8; anything else is upright)."""
    if orientation in _TURNED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
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


def read_size(data: bytes | memoryview) -> tuple[int, int]:
    """(height, width) of an encoded image, as `read_header` finds it; of a plain JPEG in a microsecond instead of 34."""
    return _plain_jpeg_size(bytes(data[:_HEAD])) or read_header(data).size


_HEAD = 4096  # bytes in which the headers of a plain JPEG end
_SKIPPED = {0xC4, 0xDB, 0xDD, 0xE0, 0xEE, 0xFE}  # tables, restart interval, JFIF, Adobe, comment


def _plain_jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG whose headers are all known and tell of no orientation; None for any other image.

    Segments of a JPEG: ITU-T T.81, annex B.
    """
    place, size = 2, None
    if not head.startswith(b"\xff\xd8"):
        return None
    while place + 10 <= len(head) and head[place] == 0xFF:
        kind, length = head[place + 1], head[place + 2] << 8 | head[place + 3]
        if kind in (0xC0, 0xC1, 0xC2) and size is None and head[place + 4] == 8 and head[place + 9] in (1, 3):
            size = (head[place + 5] << 8 | head[place + 6], head[place + 7] << 8 | head[place + 8])
        elif kind == 0xDA:  # the pixels follow
            whole = place + 2 + length <= len(head)
            return size if size and whole and min(size) > 0 and max(size) <= _SIMPLE else None
        elif kind not in _SKIPPED or length < 2:
            return None
        place += 2 + length
    return None


_SIMPLE = 4096  # pixels of the longer side up to which no further check is needed


def read_header(data: bytes | memoryview) -> Header:
    """Header of an encoded image; ImageError when the bytes are not the start of an image of a known format."""
    unknown = _unknown(data[:16], "The bytes are no image of a known format.")
    with _open_image(data, ["JPEG", *pillow_formats()], unknown) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        width, height = image.size
        if "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return Header(kind, height, width)
