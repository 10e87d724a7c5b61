"""The wait as the operators share it: their base, the worker's part, and starting without a worker."""
