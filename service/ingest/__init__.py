"""Reading any uploaded file into one canonical Parquet file, and single rows back out of it."""

from service.ingest.ingest import Ingested, ingest
from service.ingest.limits import Limits
from service.ingest.rows import previews, sample_media, sample_row

__all__ = ["Ingested", "Limits", "ingest", "previews", "sample_media", "sample_row"]
