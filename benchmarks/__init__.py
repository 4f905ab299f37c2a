"""Measurements of keenframe against others and against the machine; run from the repository's root."""
