"""One file a format: what lists and reads images in files, tables and archives; each registers itself."""

from galvote.io.readers import archives, arrays, catalogues, fits_tables, lists, parquet, store

__all__ = ["archives", "arrays", "catalogues", "fits_tables", "lists", "parquet", "store"]
