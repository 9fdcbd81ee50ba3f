"""Config, DAG, runners and command line of tfx-imbalance."""
