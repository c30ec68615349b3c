"""What is known of Celery's own insides, in one place, each with the version it was read from."""
