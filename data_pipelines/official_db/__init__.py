"""Released HERO and VALUE databases as datasets of ours."""
