"""Compares warm starts with cold starts, span by span, on the events that follow."""
