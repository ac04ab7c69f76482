"""What every stage of pipelines/ and trainers/ shares: its contract, its record, the way to Ray."""
