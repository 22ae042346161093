"""Prints the description of the API, of which the page's types are made.

python -m docs.scripts.openapi > service/web/openapi.json
"""

import json
import sys
import tempfile
from pathlib import Path

from service.main import create_app
from service.settings import Settings

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        json.dump(create_app(Settings(home=Path(home))).openapi(), sys.stdout)
