"""Data sets, training, distillation and export of the models; the runtime imports none of it."""
