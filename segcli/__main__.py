"""`python -m segcli`, and the `segcli` command."""

from segcli.cli.app import main

if __name__ == "__main__":
    main()
