"""The control: the same contract with no background work, all of it done in the call."""
