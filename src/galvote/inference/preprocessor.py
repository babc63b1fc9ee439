"""From an image as it was read to what a network is shown of it, at the scale of its galaxy."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from galvote.errors import ImageError
from galvote.images import MAX_PIXELS, Encoded, Geometry, try_read
from galvote.images.scale import Shown, describe_scale, finish, show
from galvote.inference.pipeline import in_batches
from galvote.inference.settings import Scale, Settings
from galvote.io import Source, Sources
from galvote.io.sizes import Sizes

Waiting = tuple[Source, Encoded | Shown | ImageError]
"""An image on its way from disk to network: its files, what is shown of it, or what is wrong with it."""

_CHECKED = 100  # images whose scale is measured unless something is said of it

_SHOWN_AT_ONCE = 16
"""Images whose galaxies are measured together: while they wait, they are in memory as they were decoded."""


@dataclass(frozen=True)
class Preprocessor:
    """What brings images to the cutouts that a model takes, of which its network sees a part."""

    cutout: Geometry
    seen: Geometry

    def check_scale(self, images: Sequence[Source] | Sources, settings: Settings) -> str:
        """Return what is to be known of the scale of images, in sentences; nothing if it is all right.

        Parameters
        ----------
        images
            As `galvote.io.list_sources` returns them; the first hundred are read, if no scale is given.
        settings
            What is asked for.

        Raises
        ------
        CatalogueError
            If the scale is of sizes, and no image has one.
        """
        if isinstance(settings.scale, Sizes):
            ids = images.ids if isinstance(images, Sources) else [image.id for image in images]
            return settings.scale.compare(ids)
        if settings.scale is not None or settings.field_of_view is not None:
            return ""
        first = (self.show(image, try_read(image.read), "check") for image in islice(images, _CHECKED))
        return describe_scale(one for one in first if isinstance(one, Shown))

    def read(self, galaxy: Source, settings: Settings) -> Waiting:
        """Read an image; it waits for its network as its file or as its cutout, whichever is smaller."""
        data = try_read(galaxy.read)
        small = isinstance(data, tuple) and sum(map(len, data)) <= 3 * self.cutout.pixels**2
        return galaxy, data if small else self.show(galaxy, data, settings.scale, settings.field_of_view)

    def show(
        self,
        galaxy: Source,
        data: Encoded | Shown | ImageError,
        scale: Scale | Literal["check"] | None = None,
        field_of_view: float | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> Shown | ImageError:
        """Return what the network is shown of a galaxy, or what is wrong with its image.

        Parameters
        ----------
        galaxy
            Whose image it is.
        data
            What was read of it, or what was wrong.
        scale, field_of_view
            As for `Predictor.predict`; with ``"check"`` the galaxy is measured, but shown as it is.
        max_pixels
            As for `galvote.images.decode_image`.
        """
        (shown,) = self.show_each([(galaxy, data)], scale, field_of_view, max_pixels=max_pixels)
        return shown

    def show_each(
        self,
        read: Iterable[Waiting],
        scale: Scale | Literal["check"] | None = None,
        field_of_view: float | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[Shown | ImageError]:
        """Yield what the network is shown of each galaxy, or what is wrong with its image, as `show` does.

        Parameters
        ----------
        read
            Galaxies, and what was read of their images, or what was wrong.
        scale, field_of_view, max_pixels
            As for `show`.
        """
        measured: Literal["no", "only", "applied"]
        measured = "applied" if scale == "auto" else "only" if scale == "check" else "no"
        for some in in_batches(read, _SHOWN_AT_ONCE):
            todo = [
                show(
                    data,
                    self.cutout,
                    self.seen,
                    field_of_view=galaxy.field_of_view or field_of_view,
                    r90=scale.pixels(galaxy.id) if isinstance(scale, Sizes) else None,
                    measured=measured,
                    max_pixels=max_pixels,
                )
                for galaxy, data in some
                if not isinstance(data, Shown | ImageError)
            ]
            done = iter(finish(todo))
            yield from (data if isinstance(data, Shown | ImageError) else next(done) for _, data in some)
