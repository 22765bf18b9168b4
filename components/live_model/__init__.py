"""LiveModel: the model that is served now, for the Evaluator to compare with."""
