"""The embedded data: photos of people who do not exist, rendered from a CC0 head model."""
