"""Images, degradations and training pairs."""
