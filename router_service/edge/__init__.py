"""What both edges need: who may come in, what a request may hold, repeats and slow readers. No wire format."""
