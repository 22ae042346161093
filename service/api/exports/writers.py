"""The writer of each export format, by the names of service.domain.exports."""

from service.api.exports.export import Writer
from service.api.exports.tables import TABLES
from service.api.exports.tools import tool_writer
from service.platforms.exports import TOOL_FORMATS

WRITERS: dict[str, Writer] = {**TABLES, **{name: tool_writer(form) for name, form in TOOL_FORMATS.items()}}
