"""Kills, damaged files and bad options, done to runs on purpose; and whether memory grows."""
