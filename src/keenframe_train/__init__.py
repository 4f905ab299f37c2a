"""Training side of keenframe: data, degradations, networks, loops, export and evaluation."""
