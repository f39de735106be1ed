"""The audit: is everything still what the records say? Its first four levels need nothing but the standard library."""
