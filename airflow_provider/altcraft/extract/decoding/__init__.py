"""From the bytes of a response to Arrow batches, without a Python object for each row."""
