"""Fixtures are played: by agents that a process keeps, into a store."""
