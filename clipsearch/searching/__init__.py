"""Search a library: a `Query` in, the photos that fit it best out."""

from clipsearch.searching.answering import SearchAnswer, SearchResult, search
from clipsearch.searching.query_vectors import query_vector

__all__ = ["SearchAnswer", "SearchResult", "query_vector", "search"]
