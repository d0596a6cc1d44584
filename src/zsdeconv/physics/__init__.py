"""The microscope: optics, point spread functions and the operators made from them."""
