"""Other ways to translate speech, with the same call as the project's own translators: cascades and hosted services."""
