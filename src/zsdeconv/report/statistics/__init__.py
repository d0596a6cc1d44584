"""Statistics on which the checks rest."""
