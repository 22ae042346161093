"""The Celery application: `celery --app worker.app worker --queues questions,gpu,cpu,blocks`.

Python's collector would look through everything imported so far again and again: a fifth of the time that the imports take.
"""

import gc

gc.disable()
try:
    from worker.process.celery_app import app
finally:
    gc.freeze()  # what was imported is never garbage
    gc.enable()

__all__ = ["app"]
