"""Programs that run in the processes of the user's Celery app; the app is imported there and nowhere else.

They run in the app's interpreter, which may have none of our dependencies: `start` starts them, `import_path`
gives the app its own packages. What belongs here: loading the app, replacing its broker, recording its calls,
hosting it. Not: what the harness knows of the app (`own_app`). Floors: may use what imports the standard
library, Celery and redis-py alone.
"""
