"""What may happen, and the only writer: requests are decided here and kept by `models`."""
