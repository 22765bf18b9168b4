"""Notifications: people learn how a retraining ended."""
