"""The values that flow, and what they are made of; imports nothing of the rest."""
