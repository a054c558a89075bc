"""The lake: Apache Iceberg tables that any engine can read, and the one definition of which of a record's rows is its newest."""
