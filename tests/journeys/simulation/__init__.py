"""Weeks in the life of a server, its clients and its operators, event by event, in a few minutes or seconds."""
