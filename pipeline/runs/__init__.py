"""The workspace, and the runs that files and ML Metadata record in it."""
