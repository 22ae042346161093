"""What is said of the stage of a ranking wherever it stands."""

STAGE = (
    "quick: a first ranking of a table, by trees alone, that is there while the job still computes; it has the signal `mislabeled` and no "
    "estimate. full: the ranking of the completed job, which takes its place."
)
