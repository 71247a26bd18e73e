"""Language models as agents: `chat(model=..., url=...)` (agent.py)."""
