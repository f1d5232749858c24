"""Decoding: every kind of photo becomes upright RGB uint8, and every broken one says why."""

import io
import struct
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from facerec.core import ImageError
from facerec.imaging import images


def gradient(height: int = 60, width: int = 90) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns * 2, rows * 3, 255 - columns * 2], axis=-1).astype(np.uint8)


def saved(array: np.ndarray, form: str, mode: str | None = None, **options) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, form, **options)
    return file.getvalue()


def test_jpeg_round_trip_keeps_channel_order_and_size():
    decoded = images.decode(images.encode_jpeg(gradient()))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (60, 90, 3)
    assert np.abs(decoded.astype(int) - gradient()).max() < 12


def test_encoding_is_deterministic_and_quality_matters():
    assert images.encode_jpeg(gradient()) == images.encode_jpeg(gradient().copy())
    assert len(images.encode_jpeg(gradient(), 50)) < len(images.encode_jpeg(gradient(), 95))


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_only_rgb_pixels_are_encoded(bad):
    with pytest.raises(ImageError):
        images.encode_jpeg(bad)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_other_formats_decode(form):
    options = {"lossless": True} if form == "WEBP" else {}
    decoded = images.decode(saved(gradient(), form, **options))
    tolerance = 40 if form == "GIF" else 0
    assert np.abs(decoded.astype(int) - gradient()).max() <= tolerance


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_grey_becomes_rgb(form):
    decoded = images.decode(saved(np.full((8, 9), 77, np.uint8), form))
    assert decoded.shape == (8, 9, 3)
    assert (decoded == 77).all()


def test_16_bit_grey_and_16_bit_rgb_are_scaled_not_clipped():
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    assert (images.decode(saved(deep, "PNG"))[..., 1] == deep >> 8).all()
    encoded = cv2.imencode(".png", np.stack([deep, deep, deep], axis=-1))[1].tobytes()
    assert (images.decode(encoded)[..., 2] == deep >> 8).all()


def test_alpha_is_dropped():
    rgba = np.dstack([gradient(), np.zeros((60, 90), np.uint8)])
    np.testing.assert_array_equal(images.decode(saved(rgba, "PNG")), gradient())


def test_palette_png_becomes_rgb():
    decoded = images.decode(saved(np.full((5, 5, 3), (10, 200, 30), np.uint8), "PNG", mode="P"))
    assert decoded.shape == (5, 5, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(gradient(), form, exif=exif.tobytes())
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    decoded = images.decode(data)
    assert decoded.shape == ((90, 60, 3) if 5 <= orientation <= 8 else (60, 90, 3))
    assert np.abs(decoded.astype(int) - upright).max() <= 4
    assert decoded.flags.c_contiguous


def test_orientations_differ():
    seen = {images._upright(gradient(), orientation).tobytes() for orientation in range(1, 9)}
    assert len(seen) == 8
    assert (images._upright(gradient(), 6) == np.rot90(gradient(), -1)).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_metadata_does_not_cost_the_photo(form, exif):
    data = saved(gradient(), form, exif=exif, icc_profile=b"no profile")
    assert np.abs(images.decode(data).astype(int) - gradient()).mean() < 4


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_has_its_colours(mode, options):
    decoded = images.decode(saved(gradient(), "JPEG", mode, quality=95, **options))
    truth = Image.fromarray(gradient()).convert(mode).convert("RGB")
    assert np.abs(decoded.astype(int) - np.asarray(truth)).mean() < 3


def test_ycck_is_told_by_the_adobe_marker():
    data = bytearray(saved(np.full((16, 16, 3), (200, 90, 60), np.uint8), "JPEG", "CMYK", quality=100))
    np.testing.assert_allclose(images.decode(bytes(data))[5, 5], (200, 90, 60), atol=2)
    data[data.index(b"Adobe") + 11] = 2  # the same numbers, now inverted Y, Cb, Cr: 255 - (105, 255, 133)
    np.testing.assert_allclose(images.decode(bytes(data))[5, 5], (150, 0, 122), atol=2)


@pytest.mark.parametrize("form", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_of_16_bits_the_upper_8_are_kept(form, channels):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, channels), np.uint16)
    encoded = cv2.imencode(form, deep)[1].tobytes()
    shown = np.repeat(deep, 3, axis=2) if channels == 1 else deep[..., [2, 1, 0]]
    np.testing.assert_array_equal(images.decode(encoded), shown >> 8)


def test_32_bit_grey_is_scaled_where_it_needs_it():
    for top, shown in ((200, 200), (60_000, 60_000 >> 8), (2**30, 255)):
        deep = np.full((4, 5), top, np.int32)
        assert (images.decode(saved(deep, "TIFF")) == shown).all()


def test_floating_point_pixels_are_refused():
    with pytest.raises(ImageError, match="floating-point"):
        images.decode(saved(np.ones((4, 5), np.float32), "TIFF"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_mode_of_a_tiff_becomes_rgb(mode):
    decoded = images.decode(saved(gradient(), "TIFF", mode))
    assert (decoded.shape, decoded.dtype) == ((60, 90, 3), np.uint8)


def test_transparency_of_a_palette_is_dropped():
    indexed = Image.fromarray(gradient()).quantize(16)
    file = io.BytesIO()
    indexed.save(file, "PNG", transparency=bytes([0, 128] * 8))
    np.testing.assert_array_equal(images.decode(file.getvalue()), np.asarray(indexed.convert("RGB")))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(form):
    file = io.BytesIO()
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("#0000ff", "#ff0000")]
    frames[0].save(file, form, save_all=True, append_images=frames[1:], lossless=True)
    assert (images.decode(file.getvalue()) == (0, 0, 255)).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_one_pixel_is_a_photo(form):
    assert images.decode(saved(np.full((1, 1, 3), 200, np.uint8), form)).shape == (1, 1, 3)


def test_avif_and_with_its_package_heic_are_read(monkeypatch):
    pixels = np.full((8, 6, 3), 90, np.uint8)
    if "AVIF" in images.pillow_formats():
        assert np.abs(images.decode(saved(pixels, "AVIF")).astype(int) - pixels).max() < 8

    def register():
        monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])

    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    assert "HEIF" in images.pillow_formats.__wrapped__()
    monkeypatch.delitem(sys.modules, "pillow_heif")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"HEIC photo; pip install 'facerec\[heic\]', or convert it to JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (b"%PDF-1.4", "not an image of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a known format"),
        (b"\xff\xd8\xff", "cut short"),
    ],
)
def test_what_is_not_supported_says_so(data, reason):
    with pytest.raises(ImageError, match=reason):
        images.decode(data)


def test_a_memory_view_decodes():
    assert images.decode(memoryview(images.encode_jpeg(gradient()))).shape == (60, 90, 3)


@pytest.mark.parametrize("data", [b"no image at all", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_image_is_an_error(data):
    with pytest.raises(ImageError):
        images.decode(data)


def test_an_empty_file_is_an_error():
    with pytest.raises(ImageError, match="empty"):
        images.decode(b"")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_cut_jpeg_is_an_error_at_any_length(share):
    data = images.encode_jpeg(gradient())
    with pytest.raises(ImageError, match="cut short"):
        images.decode(data[: max(2, int(len(data) * share))])


def test_a_cut_jpeg_is_noticed_behind_the_end_marker_of_its_thumbnail():
    data = images.encode_jpeg(gradient())
    thumbnail = images.encode_jpeg(gradient(10, 10))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    np.testing.assert_array_equal(images.decode(whole), images.decode(data))
    with pytest.raises(ImageError, match="cut short"):
        images.decode(whole[:-200])


def test_bytes_after_the_end_of_a_jpeg_are_ignored():
    data = images.encode_jpeg(gradient())
    np.testing.assert_array_equal(images.decode(data + b"\0\0trailer"), images.decode(data))


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_other_cut_formats_are_errors(form):
    data = saved(gradient(), form)
    with pytest.raises(ImageError):
        images.decode(data[: len(data) // 2])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "WEBP"])
def test_flipped_bytes_give_pixels_or_an_image_error_and_nothing_else(form):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(gradient(20, 30), form, exif=exif.tobytes()) if form != "GIF" else saved(gradient(20, 30), form)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(150):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        try:
            outcomes.add(images.decode(data.tobytes()).ndim)
        except ImageError as error:
            outcomes.add(str(error)[:3])
    assert "The" in outcomes
    assert outcomes <= {3, "The"}  # PNG has checksums, so nothing may be left to decode


def bomb_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_001, 13_000, 60_000])
def test_a_huge_png_is_refused_before_decoding(side):
    with pytest.raises(ImageError, match="allowed"):
        images.decode(bomb_png(side, side))


def test_a_huge_jpeg_is_refused_before_decoding():
    data = bytearray(images.encode_jpeg(gradient()))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 50_000, 50_000)
    with pytest.raises(ImageError, match="50000x50000"):
        images.decode(bytes(data))


def encoded_forms():
    """Images of every form that a pack may hold."""
    pixels = np.random.default_rng(5).integers(0, 256, (37, 53, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("RGB", "L", "CMYK"):
        for options in ({}, {"progressive": True}, {"exif": exif}, {"comment": b"x" * 300}, {"dpi": (72, 72)}):
            yield saved(pixels, "JPEG", mode, **options)
    yield saved(pixels, "JPEG", icc_profile=b"p" * 100)
    yield saved(pixels, "JPEG", exif=exif, icc_profile=b"p" * 70_000)
    yield saved(pixels, "PNG")
    yield images.encode_jpeg(pixels)
    yield b"\xff\xd8\xff\xe0"


@pytest.mark.parametrize("data", [*enumerate(encoded_forms())], ids=lambda each: str(each[0]))
def test_the_quick_size_is_that_of_the_header(data):
    _, data = data
    for cut in (len(data), *range(2, 700, 3)):
        try:
            expected = images.read_header(data[:cut]).size
        except ImageError:
            with pytest.raises(ImageError):
                images.read_size(data[:cut])
        else:
            assert images.read_size(data[:cut]) == expected
            assert images.read_size(memoryview(data)[:cut]) == expected
