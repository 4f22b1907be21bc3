"""The log-shaped bus: topics, keys and offsets; memory and SQLite adapters under one contract."""
