"""What the benchmark fetches from: nginx, a server that is late or refuses, a name server."""
