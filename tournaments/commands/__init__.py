"""The commands of `marl tournament`."""
