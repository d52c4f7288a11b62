"""Hardware assistance: a guest runs in VS- and VU-mode over two stages of translation."""
