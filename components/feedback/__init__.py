"""Whether served recommendations were any good: what was shown, and what was rated."""
