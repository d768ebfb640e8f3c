"""What a training needs around the loop: its run folder and snapshots, schedule, device, progress."""
