"""The entry of the service: `uvicorn --factory service.main:create_app`.

Python's collector would look through everything imported so far again and again, and then once more whenever it looks through all.
"""

import gc

gc.disable()
try:
    from service.main.application import create_app
finally:
    gc.freeze()
    gc.enable()

__all__ = ["create_app"]
