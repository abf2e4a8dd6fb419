"""One command a file. Each has an `app` and is imported when it is called, so that the others cost nothing."""
