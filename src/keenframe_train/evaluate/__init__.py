"""Measuring restored pictures against pristine ones, and showing them."""
