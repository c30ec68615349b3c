"""The broker in memory: lanes, envelopes, and kombu's view of it. Knows nothing of workers."""
