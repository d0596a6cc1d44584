"""Networks: the published and the fast ones, their layers, weights from Keras, and the precision of a device."""
