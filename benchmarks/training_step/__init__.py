"""What does a learned loss cost in a training step, and is the step a fast one?"""
