"""The engine: a pure fold of events into run state, and the embedded driver of a home."""
