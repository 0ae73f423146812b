"""What people look at: tables and overlays."""
