"""The harness: a plan, a world, the sides, a ledger, the measures, and a run directory."""
