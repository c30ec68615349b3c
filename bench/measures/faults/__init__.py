"""What a fault did: the class of each job, exposure, blast radius, recovery, the shortest example."""
