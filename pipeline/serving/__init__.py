"""Clients of a pushed model."""
