"""Records a training of your own, anywhere, for the service to rank. Needs torch and NumPy, nothing else of this package.

from worker.recorder import TraceRecorder

recorder = TraceRecorder(model, train_set, "run.safetensors")  # once, the samples in a fixed order
recorder.record(optimizer)                                     # at each epoch's end
recorder.close()                                               # in the end

`worker.recorder.transformers` and `worker.recorder.lightning` have callbacks that do the same.
"""

from worker.recorder.recorder import TraceRecorder

__all__ = ["TraceRecorder"]
