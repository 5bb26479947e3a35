"""Pure table work: bytes to table, table to schema, table to numbers and back."""
