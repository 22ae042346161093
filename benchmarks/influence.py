"""What influence costs: from checkpoints to every signal, against the bare matrix products and against captum.

    python -m benchmarks.influence [--repeats 3]

10,000 training rows, 2,000 reference rows, an MLP 784-256-128-10 with 5 checkpoints, one thread. The bare products are
those that any exact method must do: for each layer and checkpoint `U U'` and `V V'` of all pairs, nothing else. Times
are medians; what counts are the ratios, taken in one run.
"""
