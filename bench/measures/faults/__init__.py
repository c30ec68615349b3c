"""What a fault did: the classes of jobs, exposure, blast radius, recovery, a witness."""
