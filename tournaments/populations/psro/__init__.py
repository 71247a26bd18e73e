"""Policy-space response oracles: each round a response to the mixture of all members joins them."""
