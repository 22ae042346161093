"""What every process that reads an upload needs: its server process imports this once, before it forks them."""

import gc

gc.disable()  # it would look through everything imported so far again and again
try:
    import pyarrow as pa

    from service.ingest import confined
    from service.ingest.rewritten import apart

    pa.scalar(None, pa.string())  # loads pandas, where that is installed
finally:
    gc.freeze()  # so that the processes share this memory
    gc.enable()

__all__ = ["apart", "confined"]
