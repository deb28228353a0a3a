"""Who somebody is, as numbers that can be compared."""
