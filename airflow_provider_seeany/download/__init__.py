"""The download of result files: light enough for a DAG file are only ``settings``; the rest runs in a worker."""
