"""Live video: newest frame wins, and the work fits the time there is."""
