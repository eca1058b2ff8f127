"""The API of the queue: `create_app(settings, store)`; `python -m queue_manager` serves it.

Its rooms: `routes/` has one file per noun of the API, `requests/` what all routes share,
`submission/` the checks of a submission, `views/` and `forecast/` what is shown about jobs,
`files/` the run folders, `http/` problems, queries and ETags, `openapi/` the description.
"""

from queue_manager.app import create_app

__all__ = ["create_app"]
