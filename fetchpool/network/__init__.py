"""Names, TLS, proxies, descriptors, and the one TCPConnector."""
