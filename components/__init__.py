"""Custom TFX components, one folder each, and the plain modules they share."""
