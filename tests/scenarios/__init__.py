"""Stories of outages, one a file, and the test that plays them. README.md has the language."""
