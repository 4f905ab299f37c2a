"""Inference engines: array in, array out, nothing else."""
