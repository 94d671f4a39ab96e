"""Search a library: a `Query` in, the photos that fit it best out."""

from clipsearch.searching.answering import SearchAnswer, SearchResult, search
from clipsearch.searching.query_vectors import QueryVector, query_vector

__all__ = ["QueryVector", "SearchAnswer", "SearchResult", "query_vector", "search"]
