"""Transports and formats, kept apart and combined. They know no agency.

A transport yields messages (`HttpLine`, `SoapClient`, `PostgresLine`, the openers), a format turns bytes into columns
(`XmlRecords`, `JsonRecords`, `DelimitedRecords`), an adapter combines the two. An agency whose ways are ordinary is
declared in `agencies.yaml` with `RestAdapter`, `DropAdapter` or `SqlAdapter`; one with ways of its own combines the
parts itself, as `adapters/population.py` does.
"""

from adapters.protocols.delimited import DelimitedRecords
from adapters.protocols.drop import DropAdapter
from adapters.protocols.http import HttpLine
from adapters.protocols.json import JsonRecords
from adapters.protocols.postgres import PostgresLine
from adapters.protocols.rest import RestAdapter
from adapters.protocols.soap import SoapClient
from adapters.protocols.sql import SqlAdapter
from adapters.protocols.xml import XmlRecords

__all__ = [
    "DelimitedRecords",
    "DropAdapter",
    "HttpLine",
    "JsonRecords",
    "PostgresLine",
    "RestAdapter",
    "SoapClient",
    "SqlAdapter",
    "XmlRecords",
]
