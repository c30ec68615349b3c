"""Events of a block as the other measures read them: one block, its jobs, clocks and order."""
