"""What `two-tower run` adds to a pipeline on one machine: process, progress, errors."""
