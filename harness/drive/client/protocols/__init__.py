"""Upload protocols: multipart, put, tus and templated."""
