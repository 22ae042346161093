"""The process of a worker: the Celery application, its children, and what it writes of itself."""
