"""`python -m galvote` is the `galvote` command."""

from galvote.cli import main

main()
