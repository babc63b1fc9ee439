"""Learn a user's own labels from what a trained model knows of galaxies."""
