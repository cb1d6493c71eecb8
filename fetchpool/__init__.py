"""fetchpool: a list of URLs goes in, one honest outcome per line comes out."""

__version__ = "0.1.0"
