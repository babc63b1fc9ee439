"""Whether predictions obey the tree."""

from galvote.metrics.comparison import Comparison
from galvote.metrics.registry import register_metric
from galvote.trees import find_violations


@register_metric("tree_violations")
def _tree_violations(compared: Comparison) -> dict[str, int | float]:
    """Count the galaxies whose predictions violate the tree.

    How many ``galaxies`` there are, in how many ``questions`` the answers' sum is off the share that was
    asked it, and the ``largest`` such distance.
    """
    found = find_violations(compared.tree, compared.predicted[compared.scored_galaxies])
    return {
        "galaxies": int(found.galaxies.sum()),
        "questions": int((found.off_tree > found.tolerance).any(axis=0).sum()),
        "largest": float(found.off_tree.max()),
    }
