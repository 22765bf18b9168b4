"""Step 2: files to columns. Every row is either read or reported with its line."""
