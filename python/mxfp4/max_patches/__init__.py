"""What replaces functions of MAX."""
