"""The entry of the service: `python -m service.main`, or `uvicorn --factory service.main:create_app` with a server of one's own choice.

Python's collector would look through everything imported so far again and again, and then once more whenever it looks through all.
"""

import gc
import os

# pyarrow starts a thread for an allocator that it does not use, unless it is told here, and a process with threads is not safely forked.
os.putenv("JE_ARROW_MALLOC_CONF", "background_thread:false")
gc.disable()
try:
    from service.main.application import create_app, prepare_routes
finally:
    gc.freeze()
    gc.enable()

__all__ = ["create_app", "prepare_routes"]
