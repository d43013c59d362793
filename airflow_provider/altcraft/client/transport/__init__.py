"""The seam between the client and the HTTP libraries: request bytes in; status, headers and body bytes out."""
