"""From a training checkpoint to a model file that the runtime takes: folding, ONNX, INT8, parity."""
