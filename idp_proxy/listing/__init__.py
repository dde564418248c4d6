"""Lists of people that an import reads: a CSV file, a directory, Mattermost's own list."""
