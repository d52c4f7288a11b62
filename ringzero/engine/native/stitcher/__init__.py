"""The stitcher: warm code becomes machine code made of copies of stencils."""
