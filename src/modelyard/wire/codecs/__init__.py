"""One module per AWS protocol, each compiling an operation's shapes into plain functions."""
