"""File bytes to RGB pixels."""

import io
import re
from contextlib import suppress
from functools import cache
from importlib import import_module

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from galvote.errors import ImageError
from galvote.images.fits import decode_fits, is_fits
from galvote.images.limits import MAX_PIXELS, refuse_bomb
from galvote.images.stretch import compose, measure_sky
from galvote.io.bands import Look

Encoded = bytes | tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]
"""An image as it comes: the bytes of a file, those of its three bands, or pixels already."""

_MAX_SCANS = 100
"""Progressive JPEGs have about ten."""

_JPEG, _END_OF_JPEG = b"\xff\xd8\xff", b"\xff\xd9"

_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|II[*+]\0|MM\0[*+]|GIF8|BM....\0{4}|....ftypavi[fs]"
    rb"|\0{3}\x0c(?:jP  |JXL )|\xff\x4f\xff\x51|\xff\x0a",
    re.DOTALL,
)
"""How files of the kinds that people send begin: a file that begins so but cannot be opened is cut short."""

_OTHERS = {
    b"\x89HDF": "an HDF5 file: give its path, ending in .h5, to galvote itself",
    b"PK\3\4": "a zip archive: give its path, ending in .zip or .npz, to galvote itself",
    b"\x93NUMPY": "a NumPy array: give its path, ending in .npy, to galvote itself",
    b"\xff\x0a": "JPEG XL: install Pillow's plugin, `pip install pillow-jxl-plugin`",
    b"\0\0\0\x0cJXL ": "JPEG XL: install Pillow's plugin, `pip install pillow-jxl-plugin`",
}
"""What other files are, by how they begin, and what to do with them."""


def decode_image(
    data: Encoded, reduction: float = 1.0, *, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "y x 3"]:
    """Decode an image to 8-bit RGB.

    Parameters
    ----------
    data
        The bytes of one file (JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000, JPEG XL with Pillow's plugin,
        or FITS, also packed), or of three one-band FITS files in the order g, r, i. RGB is returned as it is.
    reduction
        A JPEG whose sides it divides may be decoded at a half, a quarter or an eighth of its size, but no
        less than one by this number: that is faster, and nearly the average of the pixels.
    max_pixels
        What the header may announce; more is refused before a pixel is decoded.

    Returns
    -------
    Pixels in [0, 255], first row at the top, the EXIF orientation applied; of several frames the first. Grey
    becomes RGB, transparent parts black as sky is. Of 16-bit samples the upper byte that is used is kept.
    FITS planes become a Lupton composite.

    Raises
    ------
    ImageError
        ``empty``, ``not-an-image``, ``truncated`` (cut short or damaged), ``too-large`` or ``unsupported``.
    """
    if isinstance(data, np.ndarray):
        return data
    files = (data,) if isinstance(data, bytes) else data
    if not files or not all(files):
        raise ImageError("empty", "The file is empty; fetch it again.")
    first = files[0]
    if len(files) > 1 or is_fits(first):
        return decode_fits(files, getattr(data, "look", None), max_pixels=max_pixels)
    _refuse_many_scans(first)
    if size := jpeg_size(data):
        refuse_bomb(*size, max_pixels)
        divisor = next(
            n for n in (8, 4, 2, 1) if n <= max(1.0, reduction) and not any(side % n for side in size)
        )
        height, width = (side // divisor for side in size)
        with suppress(ValueError):  # Pillow reads some of what simplejpeg does not know
            return _decode_jpeg(first, height, width, divisor)
    return _decode_with_pillow(first, max_pixels, getattr(data, "look", Look()).stretch)


def _decode_jpeg(file: bytes, height: int, width: int, divisor: int) -> UInt8[np.ndarray, "y x 3"]:
    """Decode a JPEG, which may lack its end marker; `ImageError`: it is corrupt, `ValueError`: not known."""
    for data in (file, file + _END_OF_JPEG):
        try:
            rgb = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, min_factor=divisor)
            return np.asarray(rgb)
        except ValueError as error:
            said = str(error)
            if said.startswith("Premature end of JPEG file") and data is file:
                continue
            if said.startswith(("Corrupt", "Premature", "Quantization", "Inconsistent")):
                raise _damaged(said) from error
            raise
    raise AssertionError


def _refuse_many_scans(file: bytes) -> None:
    # The marker of a scan occurs nowhere within one. Each scan may be a few bytes and costs as much time as
    # a whole image.
    if file.startswith(_JPEG) and file.count(b"\xff\xda") > _MAX_SCANS:
        raise ImageError(
            "too-large",
            f"The JPEG has more than {_MAX_SCANS} scans, which no camera or program writes; save it again.",
        )


def jpeg_size(data: Encoded) -> tuple[int, int] | None:
    """Return height and width of a JPEG that can be decoded at a reduced size; None of anything else."""
    file = data[0] if isinstance(data, tuple) and len(data) == 1 else data
    # libjpeg-turbo says nothing of EXIF, so the few JPEGs that carry it take Pillow's way.
    if not isinstance(file, bytes) or not file.startswith(_JPEG) or b"Exif\0\0" in file[:65536]:
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(file)
    except ValueError:
        return None
    return (int(height), int(width)) if space in ("YCbCr", "Gray", "RGB") else None


def _damaged(said: object) -> ImageError:
    return ImageError("truncated", f"The file is cut short or damaged ({said}); fetch it again.")


@cache
def _formats() -> tuple[str, ...]:
    # Not all that Pillow knows: it hands PostScript to Ghostscript, for one.
    formats = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000"]
    with suppress(ImportError):
        import_module("pillow_jxl")
        formats.append("JXL")
    return tuple(formats)


def _decode_with_pillow(data: bytes, max_pixels: int, stretch: str) -> UInt8[np.ndarray, "y x 3"]:
    try:
        whole = data + _END_OF_JPEG if data.startswith(_JPEG) else data
        with Image.open(io.BytesIO(whole), formats=_formats()) as image:
            refuse_bomb(*image.size, max_pixels)
            if data.startswith(_JPEG):  # Pillow does not tell of what is corrupt
                with suppress(ValueError):
                    _decode_jpeg(data, 1, 1, 8)
            deep = _sixteen_bit_colour(image, data)
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image, stretch) if deep is None else deep
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("too-large", f"{error} Cut the part out that you need.") from error
    except Exception as error:  # decoders raise all sorts at damaged bytes, and each concerns this file only
        raise _why(data, error) from error


def _why(data: bytes, error: Exception) -> ImageError:
    """Return what to say of a file that Pillow cannot read: foreign, of an unusual kind, or damaged."""
    unopened = isinstance(error, UnidentifiedImageError | KeyError)
    if unopened and (
        other := next((what for begin, what in _OTHERS.items() if data.startswith(begin)), None)
    ):
        return ImageError("not-an-image", f"This is {other}.")
    if not _SIGNATURES.match(data):
        return ImageError(
            "not-an-image",
            "This is no image that galvote reads (JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000, FITS).",
        )
    said: object = error
    if data.startswith(_JPEG):
        try:
            _decode_jpeg(data, 1, 1, 8)
        except ValueError as refused:
            said = refused
    elif unopened and (tiff := _describe_tiff(data)):
        said = f"Unsupported are {tiff}"
    if "unsupported" in str(said).lower():
        return ImageError(
            "unsupported",
            f"{said}; save the image as RGB or grey of 8 or 16 bits, or as FITS, which galvote stretches.",
        )
    if not unopened:
        return _damaged(error)
    return ImageError("truncated", "The file ends within its header; fetch it again.")


def _describe_tiff(data: bytes) -> str | None:
    """Say what a pixel of a TIFF has, if all of it is there; None of anything else."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    with suppress(Exception):  # a damaged header raises all sorts
        file = io.BytesIO(data)
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if b"+" in data[:4] else 8))
        file.seek(tags.next)
        tags.load(file)
        places, sizes = (tags[273], tags[279]) if 273 in tags else (tags[324], tags[325])  # strips or tiles
        if all(place + size <= len(data) for place, size in zip(places, sizes, strict=True)):
            kind = {1: "unsigned", 2: "signed", 3: "float"}.get(tags.get(339, (1,))[0], "unusual")
            return f"{len(tags[258])} {kind} samples of {tags[258][0]} bits (compression {tags.get(259, 1)})"
    return None


def _sixteen_bit_colour(image: Image.Image, data: bytes) -> UInt8[np.ndarray, "y x 3"] | None:
    """Return 16-bit RGB that uses fewer bits: Pillow keeps the upper byte, which is next to nothing."""
    bits = data[24:25] if image.format == "PNG" else bytes(getattr(image, "tag_v2", {}).get(258, ())[:1])
    if bits != b"\x10" or image.mode not in ("RGB", "RGBA"):
        return None
    image.load()  # so what is damaged has been refused
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 3 or samples[..., :3].max() >> 14:
        return None
    rgb = _upper_byte(samples[:, :, 2::-1])
    if samples.shape[2] == 4:
        rgb = (rgb * (samples[:, :, 3:] / 65535)).astype(np.uint8)
    turned = Image.fromarray(rgb)
    turned.getexif().update(image.getexif())
    return np.array(ImageOps.exif_transpose(turned))


def _upper_byte(samples: UInt16[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    # Of 2,000 galaxies' 8-bit images none is below 98 throughout; so what does not reach 64 has fewer bits.
    bits = int(samples.max()).bit_length()
    return (samples >> max(0, bits + bits % 2 - 8)).astype(np.uint8)


def _to_rgb(image: Image.Image, stretch: str) -> UInt8[np.ndarray, "y x 3"]:
    if image.mode == "F" and stretch != "lupton":
        plane = np.asarray(image, dtype=np.float32)
        return compose([measure_sky(plane, "the image").above(plane)], stretch)
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise ImageError(
            "unsupported",
            f"The samples are 32 bits wide (Pillow's mode {image.mode}), so their black and white points are "
            "unknown; of one plane of floats, name a stretch (--stretch asinh or percentile), or save it "
            "with 8 or 16 bits, or as FITS.",
        )
    if image.mode.startswith("I"):
        grey = _upper_byte(np.asarray(image, dtype=np.uint16))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return np.array(image.convert("RGB"))
