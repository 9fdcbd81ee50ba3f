"""Pusher: copies a blessed model into the registry folder."""
