"""Long runs that look for growth, one script each."""
