"""Tables that compare networks, and measure how fast they are."""
