"""The models: what each one says about itself, and where they are."""
