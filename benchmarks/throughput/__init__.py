"""How many generations a second, against other implementations and the machine's floor?"""
