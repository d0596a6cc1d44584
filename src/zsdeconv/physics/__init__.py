"""The microscope: optics, point spread functions, and the operators built from them."""
