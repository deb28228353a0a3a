"""A classifier that says whether anybody is in a picture, and where it looked: a class activation map."""
