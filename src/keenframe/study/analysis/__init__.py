"""Answers in, opinion scores and a report out."""
