"""One file a format: what lists and reads images in files, tables and archives."""
