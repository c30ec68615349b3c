"""A picture of the whole tree. Floors: may use every other folder of `supervision`."""
