"""The bundled kernel: paging, processes, self-tests, and a paravirtual flavour of the same text."""
