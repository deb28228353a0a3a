"""Makes clips with exact ground truth out of labelled pictures."""
