"""Who may use the console and for what: roles, rights, users with passwords, sessions."""
