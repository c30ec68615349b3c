"""Response, pickup, caller cost and validity of latency blocks, cold starts and CPU-heavy jobs."""
