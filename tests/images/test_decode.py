"""Files of every kind that people send become RGB, or say what is wrong with them."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from astropy.io import fits
from PIL import Image

from galvote.errors import ImageError
from galvote.images import MAX_PIXELS, decode_image
from galvote.io.bands import Look
from galvote.io.sources import FitsFiles


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sixteen_bit_png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def image() -> np.ndarray:
    """Return a smooth picture of 40 rows and 60 columns, another in each channel, dark at the top left."""
    y, x = np.mgrid[:40, :60]
    return np.stack([3 * x + 20, 4 * y + 30, 2 * x + 2 * y], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 4),
        ("JPEG", {"quality": 95, "progressive": True}, 4),
        ("PNG", {}, 0),
        ("WebP", {"lossless": True}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("BMP", {}, 0),
        ("AVIF", {"quality": 95}, 4),
        ("JPEG2000", {}, 0),
    ],
)
def test_reads_the_common_kinds(
    image: np.ndarray, kind: str, options: dict[str, object], tolerance: int
) -> None:
    decoded = decode_image(encode(Image.fromarray(image), kind, **options))

    assert decoded.dtype == np.uint8
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).mean() <= tolerance


def test_pixels_pass_unchanged(image: np.ndarray) -> None:
    assert np.array_equal(decode_image(image), image)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_grey_becomes_rgb(image: np.ndarray, kind: str) -> None:
    decoded = decode_image(encode(Image.fromarray(image[:, :, 0]), kind))

    assert decoded.shape == image.shape
    assert np.array_equal(decoded[:, :, 0], decoded[:, :, 2])
    assert np.abs(decoded[:, :, 1].astype(int) - image[:, :, 0]).max() <= 4


def test_transparent_parts_are_black_as_sky_is(image: np.ndarray) -> None:
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:, :20] = 0
    alpha[:, 20:40] = 128
    rgba = np.concatenate([image, alpha], axis=2)

    decoded = decode_image(encode(Image.fromarray(rgba), "PNG"))

    assert decoded[:, :20].max() == 0
    assert np.abs(decoded[:, 20:40] - image[:, 20:40] * (128 / 255)).max() <= 1
    assert np.array_equal(decoded[:, 40:], image[:, 40:])


def test_palette_and_palette_with_a_transparent_colour(image: np.ndarray) -> None:
    palette = Image.fromarray(image // 128 * 255).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    opaque = decode_image(encode(palette, "PNG"))
    seen = decode_image(encode(palette, "PNG", transparency=palette.getpixel((59, 39))))

    assert np.array_equal(opaque, palette.convert("RGB"))
    assert opaque[39, 59].max() == 255
    assert seen[39, 59].max() == 0


def test_cmyk_jpeg(image: np.ndarray) -> None:
    decoded = decode_image(encode(Image.fromarray(image).convert("CMYK"), "JPEG", quality=95))

    assert np.abs(decoded.astype(int) - image).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_the_upper_byte(kind: str) -> None:
    samples = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)

    decoded = decode_image(encode(Image.fromarray(samples), kind))

    assert np.array_equal(decoded[:, :, 0], samples >> 8)
    assert decoded.max() == 255


def test_sixteen_bit_colour_png_keeps_the_upper_byte(image: np.ndarray) -> None:
    samples = (image.astype(int) * 256 + 200).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)

    assert np.array_equal(decode_image(sixteen_bit_png(60, 40, rows)), image)


def test_sixteen_bit_colour_tiff_keeps_the_upper_byte(image: np.ndarray) -> None:
    samples = (image.astype("<u2") * 256 + 200).tobytes()
    # width, height, bits (at 200), compression, RGB, strip (at 300), samples, rows, length, layout
    tags = [
        (256, 3, 1, 60), (257, 3, 1, 40), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 300),
        (277, 3, 1, 3), (278, 3, 1, 40), (279, 4, 1, len(samples)), (284, 3, 1, 1),
    ]  # fmt: skip
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    tiff = (tiff + bytes(4)).ljust(200, b"\0") + struct.pack("<HHH", 16, 16, 16)
    tiff = tiff.ljust(300, b"\0") + samples

    assert np.array_equal(decode_image(tiff), image)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", [".png", ".tif"])
def test_fewer_bits_in_sixteen_are_as_bright(image: np.ndarray, kind: str, bits: int) -> None:
    samples = image.astype(np.uint16) << (bits - 8)
    opaque = np.dstack([samples[:, :, ::-1], np.full(samples.shape[:2], 65535, np.uint16)])

    for deep, expected in (
        (samples[:, :, 0], image[:, :, :1].repeat(3, axis=2)),
        (samples[:, :, ::-1], image),  # OpenCV has blue first
        (opaque, image),
    ):
        data = cv2.imencode(kind, deep)[1].tobytes()
        assert np.array_equal(decode_image(data), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF"])
def test_exif_orientation_is_applied(image: np.ndarray, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the picture turned clockwise
    stored = Image.fromarray(image)
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WebP" else {}

    decoded = decode_image(encode(stored, kind, exif=exif, **options))

    assert decoded.shape == (60, 40, 3)
    assert np.abs(decoded.astype(int) - np.rot90(image, -1)).mean() < 4


def test_the_first_of_several_frames_is_shown(image: np.ndarray) -> None:
    frames = [Image.fromarray(image), Image.fromarray(255 - image)]

    for kind in ("TIFF", "PNG"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.array_equal(decode_image(data), image)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_thirty_two_bit_tiff_is_unsupported_and_says_what_to_do(image: np.ndarray, mode: str) -> None:
    data = encode(Image.fromarray(image[:, :, 0]).convert(mode), "TIFF")

    with pytest.raises(ImageError, match="FITS") as failure:
        decode_image(data)

    assert failure.value.status == "unsupported"


def jpegs(noise: np.ndarray) -> list[bytes]:
    """Return JPEGs that libjpeg-turbo decodes, and others of which Pillow makes RGB."""
    exif = Image.Exif()
    exif[0x0112] = 3
    picture = Image.fromarray(noise)
    return [
        encode(picture, "JPEG"),
        encode(picture, "JPEG", progressive=True),
        encode(picture, "JPEG", exif=exif),
        encode(picture.convert("CMYK"), "JPEG"),
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_corrupt_jpeg_is_refused_and_a_missing_end_marker_is_not(number: int) -> None:
    data = jpegs(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))[number]
    half = len(data) // 2

    for corrupt in (data[:half] + bytes(300) + data[half + 300 :], data[:-90], data[:-90] + b"\xff\xd9"):
        with pytest.raises(ImageError, match=r"Corrupt JPEG data") as failure:
            decode_image(corrupt)
        assert failure.value.status == "truncated"
    assert np.array_equal(decode_image(data[:-2]), decode_image(data))


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((9, 8, 3), np.float32), "3 float samples of 32 bits"),
        (np.zeros((9, 8), np.float64), "1 float samples of 64 bits"),
    ],
)
def test_a_sound_tiff_of_unusual_samples_is_unsupported(samples: np.ndarray, said: str) -> None:
    data = cv2.imencode(".tif", samples)[1].tobytes()

    with pytest.raises(ImageError, match=said) as failure:
        decode_image(data)

    assert failure.value.status == "unsupported"


@pytest.mark.parametrize("stretch", ["asinh", "percentile"])
def test_one_plane_of_floats_in_a_tiff_is_shown_as_that_of_a_fits_file(tmp_path, stretch: str) -> None:
    y, x = np.mgrid[-32:32, -32:32]
    plane = np.random.default_rng(1).normal(3, 1, (64, 64)) + 90 * np.exp(-np.hypot(x, y) / 6)
    plane = plane.astype(np.float32)
    tiff = cv2.imencode(".tif", plane)[1].tobytes()
    fits.PrimaryHDU(plane[::-1]).writeto(tmp_path / "a.fits")
    look = Look(stretch=stretch)
    expected = decode_image(FitsFiles([(tmp_path / "a.fits").read_bytes()], look))
    np.testing.assert_array_equal(decode_image(FitsFiles([tiff], look)), expected)
    with pytest.raises(ImageError, match="name a stretch"):
        decode_image(tiff)


def test_a_sound_jpeg_of_an_twelve_bits_is_unsupported(image: np.ndarray) -> None:
    data = simplejpeg.encode_jpeg(image)
    start = data.index(b"\xff\xc0") + 4

    with pytest.raises(ImageError, match="Unsupported") as failure:
        decode_image(data[:start] + b"\x0c" + data[start + 1 :])

    assert failure.value.status == "unsupported"


@pytest.mark.parametrize("data", [b"", (), (b"SIMPLE  =", b"", b"")])
def test_empty_file(data: bytes | tuple[bytes, ...]) -> None:
    with pytest.raises(ImageError) as failure:
        decode_image(data)

    assert failure.value.status == "empty"


@pytest.mark.parametrize(
    "data",
    [
        *(b"x", b"GalaxyID,Class1.1\n1,0.5\n", b"<html></html>", b"\0" * 5000, b"%PDF-1.7", b"BM: a text"),
        *(b"RIFF1234WAVEfmt ", b"\x89HDF\r\n", b"PK\3\4", b"\x93NUMPY"),
    ],
)
def test_a_file_that_is_no_image(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"JPEG|galvote itself") as failure:
        decode_image(data)

    assert failure.value.status == "not-an-image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF"])
@pytest.mark.filterwarnings("ignore")  # as a user meets it
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_file_that_is_cut_short(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)

    with pytest.raises(ImageError) as failure:
        decode_image(data[: int(share * len(data))])

    assert failure.value.status == "truncated"


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    small = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    start = small.index(b"\xff\xc0") + 5
    jpeg = small[:start] + struct.pack(">HH", side, side) + small[start + 4 :]

    for data in (jpeg, sixteen_bit_png(side, side, b""), sixteen_bit_png(60_000, 60_000, b"")):
        with pytest.raises(ImageError) as failure:
            decode_image(data)
        assert failure.value.status == "too-large"
