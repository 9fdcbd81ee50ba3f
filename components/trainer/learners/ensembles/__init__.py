"""Ensembles for imbalanced classes, one module each, named as `train.learner` names them."""
