"""Statements under test, and the statistics that decide them."""
