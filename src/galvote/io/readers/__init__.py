"""One file a format: what lists and reads images in files, tables and archives; each registers itself."""

from galvote.io.readers import catalogues, fits_tables, lists, parquet, store, tar

__all__ = ["catalogues", "fits_tables", "lists", "parquet", "store", "tar"]
