"""The three scenarios on Celery, in two profiles: stock (Celery's defaults) and hardened.

`app` is the Celery app, `profiles` what the two profiles set, `sidekiq` what hardened adds to
Celery. `account_setup`, `account_sync` and `welcome_email` keep `scenarios.contract`; `pending_jobs`
tells where a job waits. Worker: `celery -A celery_impl.app worker`; beat: `celery -A
celery_impl.app beat`.
"""
