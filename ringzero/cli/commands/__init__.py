"""The subcommands, one file each; `ringzero.cli.main` imports one when it is asked for."""
