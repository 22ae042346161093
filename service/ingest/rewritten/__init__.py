"""Uploads rewritten in the form they came in: labels corrected, removed samples gone, everything else as it was."""
