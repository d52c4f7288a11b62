"""Tests of fetching and building images."""
