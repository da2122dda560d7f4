"""Files from elsewhere: fetched, verified and unpacked."""
