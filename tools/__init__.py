"""What keeps the documentation in step with the project: parts of it are written by these modules (`make docs`)."""
