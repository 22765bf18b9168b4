"""Rehearsal: a life of retraining, replayed from the times of real ratings."""
