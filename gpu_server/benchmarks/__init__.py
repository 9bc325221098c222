"""`make bench`: the numbers of the design, as ratios in one run."""
