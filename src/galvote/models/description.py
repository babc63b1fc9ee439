"""What a card says of a network: enough to feed it, without the library that builds it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from galvote.images import FRAME_WIDTH, Geometry

HeadKind = Literal["sigmoid", "softmax", "rectified", "dirichlet"]


class NetworkDescription(BaseModel):
    """Encoder and head of a network, and what they see of a galaxy.

    Parameters
    ----------
    encoder
        Name of a registered encoder.
    field_of_view, pixels
        Width of what the network sees of the sky, in r90, and of its input.
    head
        How features become vote fractions.
    dropout
        Share of the features that is left out in training, in [0, 1).
    orientations
        Over how many orientations of the image features are averaged.
    **extra_data
        The encoder's own keys.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    encoder: str
    field_of_view: float = Field(gt=0, le=FRAME_WIDTH)
    pixels: int = Field(ge=8, le=1024)
    head: HeadKind
    dropout: float = Field(0.5, ge=0, lt=1)
    orientations: Literal[1, 2, 4, 8] = 1

    @property
    def geometry(self) -> Geometry:
        """The network's input: the sky that it shows, and its pixels."""
        return Geometry(field_of_view=self.field_of_view, pixels=self.pixels)
