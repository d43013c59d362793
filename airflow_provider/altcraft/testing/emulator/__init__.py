"""The parts of the emulator: the platform's data and methods, the HTTP app, and the server."""
