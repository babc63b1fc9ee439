"""File bytes to RGB pixels."""

from __future__ import annotations

import io

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from galvote.errors import ImageError
from galvote.images.fits import decode_fits, is_fits
from galvote.images.limits import MAX_PIXELS, refuse_bomb

Encoded = bytes | tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]
"""A picture as it comes: the bytes of a file, those of its three bands, or pixels already."""

_MAX_SCANS = 100
"""Progressive JPEGs have about ten."""

# Not all that Pillow knows: it hands PostScript to Ghostscript, for one.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")

_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"GIF8",
    b"BM",
)
"""How files of the kinds that people send begin: a file that begins so but cannot be opened is cut short."""


def decode_image(
    data: Encoded, reduction: float = 1.0, *, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "y x 3"]:
    """Decode a picture to 8-bit RGB.

    Parameters
    ----------
    data
        The bytes of one file (JPEG, PNG, WebP, TIFF, GIF, BMP or FITS, which may be gzipped), or of three
        one-band FITS files in the order g, r, i. What is RGB already is returned as it is.
    reduction
        A JPEG may be decoded at a half, a quarter or an eighth of its size, but at no less than one by this
        number. It is if both sides can be divided without a remainder, so that it shows the same. That is
        faster, and nearly the average of the pixels: of each block of 8 × 8 only the low frequencies are
        turned into pixels.
    max_pixels
        What the header may announce; more is refused before a pixel is decoded.

    Returns
    -------
    Pixels in [0, 255], first row at the top. Grey becomes RGB. Transparent parts become black, as sky is.
    Of 16-bit samples the upper byte is kept, whatever their range. EXIF orientation is applied. Of several
    frames the first is shown. FITS planes become a Lupton composite (`galvote.images.fits`).

    Raises
    ------
    ImageError
        ``empty``, ``not-an-image``, ``truncated`` (cut short or damaged), ``too-large`` (the header announces
        more than ``max_pixels``) or ``unsupported``.
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
        try:
            return np.asarray(
                simplejpeg.decode_jpeg(first, "RGB", min_height=height, min_width=width, min_factor=divisor)
            )
        except ValueError:
            pass  # Pillow reads some of what simplejpeg refuses, and says why it refuses the rest.
    return _decode_with_pillow(first, max_pixels)


def _refuse_many_scans(file: bytes) -> None:
    # The marker of a scan occurs nowhere within one. Each scan may be a few bytes and costs as much time as
    # a whole picture.
    if file.startswith(b"\xff\xd8\xff") and file.count(b"\xff\xda") > _MAX_SCANS:
        raise ImageError(
            "too-large",
            f"The JPEG has more than {_MAX_SCANS} scans, which no camera or program writes; save it again.",
        )


def jpeg_size(data: Encoded) -> tuple[int, int] | None:
    """Return height and width of a JPEG that can be decoded at a reduced size; None of anything else."""
    file = data[0] if isinstance(data, tuple) and len(data) == 1 else data
    # libjpeg-turbo says nothing of EXIF, so the few JPEGs that carry it take Pillow's way.
    if not isinstance(file, bytes) or not file.startswith(b"\xff\xd8\xff") or b"Exif\0\0" in file[:65536]:
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(file)
    except ValueError:
        return None
    return (int(height), int(width)) if space in ("YCbCr", "Gray", "RGB") else None


def _decode_with_pillow(data: bytes, max_pixels: int) -> UInt8[np.ndarray, "y x 3"]:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            refuse_bomb(*image.size, max_pixels)
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("too-large", f"{error} Cut the part out that you need.") from error
    except UnidentifiedImageError as error:
        if data.startswith(_SIGNATURES):
            raise ImageError("truncated", "The file ends within its header; fetch it again.") from error
        raise ImageError(
            "not-an-image", "This is no picture that galvote reads (JPEG, PNG, WebP, TIFF, GIF, BMP, FITS)."
        ) from error
    except Exception as error:  # decoders raise all sorts at damaged bytes, and each concerns this file only
        raise ImageError(
            "truncated", f"The file is cut short or damaged ({error}); fetch it again."
        ) from error


def _to_rgb(image: Image.Image) -> UInt8[np.ndarray, "y x 3"]:
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise ImageError(
            "unsupported",
            f"The samples are 32 bits wide (Pillow's mode {image.mode}), so their black and white points are "
            "unknown; save the picture with 8 or 16 bits, or as FITS, which galvote stretches itself.",
        )
    if image.mode.startswith("I"):
        grey = (np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return np.array(image.convert("RGB"))
