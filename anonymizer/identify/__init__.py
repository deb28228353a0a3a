"""Recognises enrolled people by the embeddings of their faces."""
