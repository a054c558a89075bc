"""dlt's readers alone: its REST client and its table source, to Arrow in memory.

What dlt does after that (normalise, write, load) is left out, in its favour. For SQL it gets ConnectorX, the fastest of its
backends, in the streaming mode that dlt advises for what does not fit in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pyarrow as pa

from motlan.adapter import Source

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")


def pull_rest(source: Source) -> Iterator[int]:
    """Follow the cursor with a bearer token; give each page's rows."""
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials
    from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator

    options = source.options
    user, secret = source.credential or ("", "")
    client = RESTClient(
        base_url=source.endpoint,
        auth=OAuth2ClientCredentials(
            access_token_url=f"{source.endpoint}/{options['token_path']}", client_id=user, client_secret=secret
        ),
        paginator=JSONResponseCursorPaginator(
            cursor_path=options["next_cursor"], cursor_param=options["cursor_parameter"]
        ),
        data_selector=options["records"],
    )
    for page in client.paginate(options["path"], params={options["limit_parameter"]: source.page_rows}):
        yield pa.Table.from_pylist(page).num_rows


def pull_sql(source: Source) -> Iterator[int]:
    """Read the view; give each batch's rows."""
    from dlt.sources.sql_database import sql_table

    user, secret = map(quote, source.credential or ("", ""))
    where = urlsplit(source.endpoint)
    host = where.query.partition("host=")[2]
    table = sql_table(
        credentials=f"postgresql+psycopg://{user}:{secret}@{where.path}?host={host}",
        table=source.options["view"],
        backend="connectorx",
        reflection_level="minimal",
        included_columns=list(source.columns.values()),
        backend_kwargs={
            "return_type": "arrow_stream",
            "conn": f"postgresql://{user}:{secret}@{quote(host, safe='')}{where.path}",
        },
    )
    for batch in table:
        yield batch.num_rows
