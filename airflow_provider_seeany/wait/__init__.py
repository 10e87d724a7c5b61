"""The operators' shared base, the worker's part of a wait, and starting one without a worker."""
