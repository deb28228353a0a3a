"""How each model family encodes its boxes; one file each."""
