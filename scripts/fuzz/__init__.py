"""Random cameras for the whole core: people who come and go, slow and failing detectors, clocks that leap."""
