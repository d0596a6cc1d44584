"""Networks: the published two-stage U-Net, its building blocks, its weights from Keras, and the arithmetic a device prefers."""
