"""What the routes share while they serve a request: access control, services, long polls."""
