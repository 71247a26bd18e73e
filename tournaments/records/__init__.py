"""What was played: fixtures, the store of games, and results as arrays."""
