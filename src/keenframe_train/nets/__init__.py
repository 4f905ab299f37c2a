"""Networks, each with its source, shapes and parameter count."""
