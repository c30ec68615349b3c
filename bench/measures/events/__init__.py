"""The events of one block: its window, the history of each job, the clocks, the order of effects."""
