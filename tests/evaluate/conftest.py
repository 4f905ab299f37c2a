"""Fixtures of the evaluations' tests; what they are made of is in `evaluate_tools`."""

from evaluate_tools import clip_folder, degraded, plugin, pristine

__all__ = ["clip_folder", "degraded", "plugin", "pristine"]
