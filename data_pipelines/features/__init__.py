"""From video files to one feature vector per frame interval."""
