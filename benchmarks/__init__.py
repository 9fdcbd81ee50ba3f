"""Measures the README's claims against peers: `python -m benchmarks [NAME...]`.

Each module here is one claim, or a few that share their preparation. It has a function `run()`
that returns or yields `benchmarks.claims.Claim`s; a module is found by being here. Names that begin
with an underscore are helpers.
"""
