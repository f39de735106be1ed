"""The export of a finished run as one ZIP, a Provenance Run Crate."""
