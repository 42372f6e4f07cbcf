"""What is kept on disk: stored pages, resumable uploads, the injection log."""
