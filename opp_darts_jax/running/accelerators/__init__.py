"""What programs take on accelerators, there or not."""
