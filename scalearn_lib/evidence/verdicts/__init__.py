"""Verdicts on claims: what is claimed, what results say about it, and by which rules that decides."""
