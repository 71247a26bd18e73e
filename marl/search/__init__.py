"""Tree search, batched over games: tree, selection rules, models, evaluators, and the search itself."""
