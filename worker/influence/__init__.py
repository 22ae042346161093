"""TracIn influence from activations and output errors, without forming gradients or the matrix of pairs."""
