"""Retraining: which spans to train on and when, and what became of it."""
