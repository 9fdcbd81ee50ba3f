"""`python -m tfx_imbalance.pipeline` is the command line."""

from .cli import main

main()
