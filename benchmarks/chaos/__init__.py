"""Do the chaotic maps stay chaotic, and which laws do their orbits follow?"""
