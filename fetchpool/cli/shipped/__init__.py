"""What the package ships beside its modules, made of the commands and their options.

    Typer's commands ──surface──▶ Command, Flag ──manual──────▶ share/man/man1/fetchpool.1
                                                ──completion──▶ share/…, for bash, zsh and fish

`python -m fetchpool.cli.shipped` writes them. They are kept with the sources, so that a build needs
none of our libraries, and a test holds them to the options.
"""
