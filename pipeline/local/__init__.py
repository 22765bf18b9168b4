"""Local runs: session, subprocess, progress events and the causes of failures."""
