"""Tests of the FUSE server and of the device that carries it."""
