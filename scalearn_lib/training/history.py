"""What a run's history tells beside losses and scores: how the sources' shares stand."""

ENTROPY = "entropy_"
"""Starts the key of an entropy; the layer's name follows."""

LARGEST, RANDOM = "largest_share", "random_share"
"""The share of the largest source, and that of all random sources together, as means over layers."""
