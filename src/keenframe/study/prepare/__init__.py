"""Pictures and clips in, a study folder out."""
