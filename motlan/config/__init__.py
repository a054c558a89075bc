"""What a country declares, read into checked objects. `registry` is the only door to it; the other modules hold one file each."""
