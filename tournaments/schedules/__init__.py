"""What is to be played: which fixtures, in which order and in which pieces."""
