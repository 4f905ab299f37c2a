"""What the servers share: where they listen, whom they let in, how much they take, and uvicorn set up with bounds."""
