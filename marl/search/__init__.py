"""Tree search, batched over games: tree, selection, models, evaluators, and the search that binds them."""
