"""What do kills, damaged files and bad options do to a run, and does memory grow?"""
