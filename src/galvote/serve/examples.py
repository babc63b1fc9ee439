"""Galaxies to try a server with, by name: real ones, the first of each kind."""

from galvote.examples import example_images

EXAMPLES = {
    kind.replace(" ", "-"): example_images(kind)[0]
    for kind in ("spiral", "barred spiral", "edge-on", "merger", "cigar", "oval", "round")
}
