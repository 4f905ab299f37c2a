"""What a reproduction writes: single scores, results, tables, figures, before/after pictures."""
