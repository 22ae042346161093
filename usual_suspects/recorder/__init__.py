"""Records a training in your own code for the service to rank. Needs torch and NumPy, and no other package.

from usual_suspects import TraceRecorder

recorder = TraceRecorder(model, train_set, "run.safetensors")  # once, the samples in a fixed order
recorder.record()                                              # at each epoch's end
recorder.close()                                               # in the end

`usual_suspects.transformers` and `usual_suspects.lightning` have callbacks that do the same.
"""

from usual_suspects.recorder.recorder import TraceRecorder

__all__ = ["TraceRecorder"]
