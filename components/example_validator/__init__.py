"""The validator that checks each split in its own schema environment."""
