"""Evaluator: ranks the corpus for every eval query and decides the blessing."""
