"""Command line: `python -m benchmarks [NAME...]`, names of modules in this folder."""

import sys
from pathlib import Path

from benchmarks.claims import main

sys.exit(main(sys.argv[1:], Path(__file__).with_name("results.jsonl")))
