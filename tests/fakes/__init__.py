"""Imitations of the outside services, as strict as what they imitate."""
