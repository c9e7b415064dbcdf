"""Rules: recordings, alerts, and what they may be made of."""
