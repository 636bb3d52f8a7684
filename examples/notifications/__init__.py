"""One connection for all tabs: notifications."""
