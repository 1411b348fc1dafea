"""What a run's history tells beside losses and scores: how the sources' shares stand."""

ENTROPY = "entropy_"
"""Starts the key of an entropy; the layer's name follows."""

RANDOM = "random_share"
"""The share of all random sources together, as a mean over layers."""
