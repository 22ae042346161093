"""TracIn influence from factors, without a gradient or a matrix of pairs."""
