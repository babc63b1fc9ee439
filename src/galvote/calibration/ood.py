"""Which images are unlike the galaxies that a model was trained on.

A network says something about every image, a photograph of a cat included. Its features say whether the
image is of the kind that it knows: the Mahalanobis distance from the training galaxies' features is large
for others (Lee et al. 2018, arXiv:1807.03888).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float16, Float32, Float64, UInt8

from galvote.calibration.conformal import random_halves, upper_quantile
from galvote.errors import GalvoteError

Features = Float[np.ndarray, "galaxy feature"]

_HELD_OUT = 1000


@dataclass(frozen=True, eq=False)
class OodDetector:
    """The training galaxies' features as one normal distribution, and how far is too far from it.

    Parameters
    ----------
    mean
        Of the training galaxies' features, each scaled to unit length.
    axes, variances
        Directions of the largest variances, orthonormal, and these.
    rest
        Mean variance along all other directions.
    threshold
        Squared distance beyond which an image is unlike.
    held_out
        Squared distances of galaxies that were not trained on, ascending: what `score` compares with. Of more
        than 1000 they are that many quantiles.
    """

    mean: Float32[np.ndarray, " feature"]
    axes: Float16[np.ndarray, "axis feature"]
    variances: Float32[np.ndarray, " axis"]
    rest: float
    threshold: float
    held_out: Float32[np.ndarray, " galaxy"]

    @classmethod
    def fit(
        cls,
        features: Features,
        held_out: Float[np.ndarray, "other feature"],
        *,
        false_alarms: float = 0.015,
        axes: int = 128,
    ) -> "OodDetector":
        """Describe the training galaxies, and set the threshold on others.

        Parameters
        ----------
        features, held_out
            Of training galaxies, and of galaxies that were not trained on.
        false_alarms
            Share of the latter that may be called unlike.
        axes
            How many directions have a variance of their own.

        Raises
        ------
        GalvoteError
            If there are fewer than two training galaxies.
        """
        if len(features) < 2:
            raise GalvoteError(
                f"{len(features)} training galaxies do not say what galaxies look like; give some hundreds."
            )
        directions = _directions(features)
        mean = directions.mean(axis=0)
        _, singular, rows = np.linalg.svd(directions - mean, full_matrices=False)
        variances = np.square(singular) / len(features)
        kept = min(axes, max(len(variances) - 1, 1))
        distribution = cls(
            mean=mean.astype(np.float32),
            axes=rows[:kept].astype(np.float16),
            variances=np.maximum(variances[:kept], 1e-12).astype(np.float32),
            rest=max(float(variances[kept:].sum()) / max(directions.shape[1] - kept, 1), 1e-12),
            threshold=np.inf,
            held_out=np.zeros(0, np.float32),
        )
        distances = np.sort(distribution.distances(held_out))
        kept_distances = np.quantile(distances, np.linspace(0, 1, min(len(distances), _HELD_OUT)))
        return replace(
            distribution.with_threshold(distances, false_alarms), held_out=kept_distances.astype(np.float32)
        )

    def distances(self, features: Features) -> Float64[np.ndarray, " galaxy"]:
        """Return the squared Mahalanobis distances of features from the training galaxies'.

        Parameters
        ----------
        features
            Of the encoder, one row for each galaxy.

        Notes
        -----
        The features' direction is compared, not their length. The covariance is that of probabilistic
        principal components (Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611): a variance for each axis and
        one for all the rest, so that what leaves the subspace of galaxies counts, too (as in Wang et al.
        2022, arXiv:2203.10807).
        """
        axes, products = self._axes
        apart = _directions(features) - self.mean
        along = apart @ axes.T
        # The length of what is outside of the subspace, without making it: float16's axes are not quite
        # orthonormal.
        outside = (apart**2).sum(axis=1) + ((along @ products - 2 * along) * along).sum(axis=1)
        return np.asarray((along**2 / self.variances).sum(axis=1) + np.maximum(outside, 0) / self.rest)

    @cached_property
    def _axes(self) -> tuple[Float64[np.ndarray, "axis feature"], Float64[np.ndarray, "axis axis"]]:
        """The axes, and their products with each other."""
        axes = self.axes.astype(np.float64)
        return axes, axes @ axes.T

    def judge(
        self, features: Features, cutouts: UInt8[np.ndarray, "galaxy y x 3"]
    ) -> tuple[Bool[np.ndarray, " galaxy"], Float32[np.ndarray, " galaxy"]]:
        """Return which images are out of distribution, and how far out each one is, as `score` says.

        Images of one colour all over, as from beyond the edge of a survey, are out of distribution whatever
        their features, and score 100: to a network, black is the sky around a galaxy.

        Parameters
        ----------
        features, cutouts
            Of the same images.
        """
        distances, blank = self.distances(features), _of_one_colour(cutouts)
        return (distances > self.threshold) | blank, np.where(blank, np.float32(100), self.score(distances))

    def score(self, distances: Float64[np.ndarray, " galaxy"]) -> Float32[np.ndarray, " galaxy"]:
        """Return each squared distance as a percentile, 0 to 100, of those of held-out galaxies.

        Parameters
        ----------
        distances
            As `distances` gives them.

        Notes
        -----
        The i-th of n held-out galaxies is at 100 i / (n + 1), as in `galvote.calibration.conformal`. Beyond
        the last one the score approaches 100 with the inverse of the distance, so that the strangest images
        still have an order.
        """
        count = len(self.held_out)
        known = np.append(0, self.held_out)
        inside = np.interp(distances, known, 100 * np.arange(count + 1) / (count + 1))
        beyond = 100 - 100 / (count + 1) * known[-1] / np.maximum(distances, known[-1] + 1e-30)
        return np.asarray(np.where(distances > known[-1], beyond, inside), dtype=np.float32)

    def with_threshold(self, distances: Float64[np.ndarray, " galaxy"], false_alarms: float) -> "OodDetector":
        """Return the same distribution with the threshold that held-out galaxies' distances give.

        Parameters
        ----------
        distances, false_alarms
            Squared distances of held-out galaxies, and the share of them, in [0, 1], that may be flagged.
        """
        threshold = float(upper_quantile(distances, np.array([1 - false_alarms]))[0])
        return replace(self, threshold=threshold)


def surprisal(score: Float32[np.ndarray, " galaxy"]) -> Float64[np.ndarray, " galaxy"]:
    """Return how surprising images are: −ln of the share of held-out galaxies with a higher score.

    Parameters
    ----------
    score
        As `OodDetector.score` gives it.
    """
    return np.asarray(-np.log1p(-np.minimum(score.astype(np.float64), 100 - 1e-4) / 100))


def measure_false_alarms(
    distances: Float64[np.ndarray, " galaxy"], false_alarms: float
) -> tuple[float, float]:
    """Return the share of real galaxies that is flagged, and its standard deviation over the halves.

    Parameters
    ----------
    distances
        Of galaxies that were not trained on. The threshold is set on random halves of them, and what is
        beyond it is counted on the others.
    false_alarms
        What is aimed at.
    """
    shares = []
    for half in random_halves(len(distances), 200):
        threshold = upper_quantile(distances[half], np.array([1 - false_alarms]))[0]
        shares.append(np.mean(distances[~half] > threshold))
    return float(np.mean(shares)), float(np.std(shares))


def _of_one_colour(cutouts: UInt8[np.ndarray, "galaxy y x 3"]) -> Bool[np.ndarray, " galaxy"]:
    # The middle row tells almost all of them, at a hundredth of the cost.
    maybe = (cutouts[:, cutouts.shape[1] // 2] == cutouts[:, 0, :1]).all(axis=(1, 2))
    return np.array(
        [looked and bool((one == one[0, 0]).all()) for looked, one in zip(maybe, cutouts, strict=True)], bool
    )


def _directions(features: Features) -> Float64[np.ndarray, "galaxy feature"]:
    """Scale to unit length; features that are all zero stay so."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12))
