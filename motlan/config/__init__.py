"""What a country declares, read into checked objects. Others read it by `registry`; each other module holds one file."""
