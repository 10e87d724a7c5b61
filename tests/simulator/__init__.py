"""The promises of the simulator."""
