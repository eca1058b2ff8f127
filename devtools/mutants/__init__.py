"""Mutation testing of the pure code: `make mutants` changes it in small ways, one at a time.

A mutant that no unit test notices survives. It shows a missing test, or is equivalent to the
original and listed with the reason in tests/mutants/equivalent.yaml.
"""
