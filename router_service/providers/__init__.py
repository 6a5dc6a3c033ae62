"""Calling providers over HTTP: one client, one decoder, one dialect with quirks as data."""
