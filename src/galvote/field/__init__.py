"""A wide image: find its galaxies, measure them, classify them."""
