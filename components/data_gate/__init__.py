"""The gate between the data and everything that is computed from it."""
