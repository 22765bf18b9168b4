"""Faults at chosen moments of a retraining, and what they leave."""
