"""The results page and the model cards, made of committed result files and of what the models say about themselves."""
