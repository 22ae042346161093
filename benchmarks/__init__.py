"""What the product costs and finds, measured: each module is one command that writes its table to results/."""
