"""Plans to pictures: effects and the only maker of redacted frames."""
