"""What is measured: each module's ``run`` pulls all profiles of a job and writes their events."""
