"""What is derived from the definitions: assembler, disassembler, and the page of documentation.

Nothing that defines the machine imports from here.
"""
