"""The operators that an exported program may call: arithmetic on tensors and sizes, and nothing else.

Whatever is not named here is refused: operators that read files, run other code, draw random numbers, or look at memory
that is not a tensor's own or that nobody has written yet. Each name stands for all its overloads.
"""

_ARITHMETIC = """
    abs add addcdiv addcmul ceil clamp clamp_max clamp_min cos cumsum div erf exp exp2 expm1 floor floor_divide fmod log log1p
    log2 maximum minimum mul neg pow reciprocal remainder round rsqrt rsub sign sin sqrt square sub tan tanh trunc
"""
_COMPARISON = "any all bitwise_and bitwise_not bitwise_or eq ge gt isfinite isinf isnan le logical_and logical_not logical_or lt ne where"
_ACTIVATION = """
    celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_softmax mish prelu relu relu6 selu sigmoid silu softmax
    softplus threshold _log_softmax _softmax
"""
_PRODUCT = """
    addmm baddbmm bmm conv1d conv2d conv_transpose2d convolution einsum linear matmul mm mv outer scaled_dot_product_attention
    _scaled_dot_product_flash_attention_for_cpu
"""
_NORMALISATION = """
    batch_norm dropout feature_dropout group_norm instance_norm layer_norm native_group_norm native_layer_norm rms_norm
    _native_batch_norm_legit_no_training linalg_vector_norm norm
"""
_POOLING = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d avg_pool1d avg_pool2d max_pool1d max_pool2d max_pool2d_with_indices
    upsample_bicubic2d upsample_bilinear2d upsample_nearest2d _adaptive_avg_pool2d
"""
_REDUCTION = "amax amin argmax argmin logsumexp max mean min prod std sum topk var var_mean"
_SHAPE = """
    alias as_strided cat chunk clone constant_pad_nd contiguous detach expand expand_as flatten flip gather index index_select lift_fresh_copy
    masked_fill movedim narrow pad permute pixel_shuffle pixel_unshuffle reflection_pad2d repeat repeat_interleave
    replication_pad2d reshape roll select slice split split_with_sizes squeeze stack swapaxes t to tile transpose tril triu
    type_as unbind unflatten unfold unsafe_split unsqueeze view view_as _to_copy _unsafe_view
"""
_MAKING = "arange full full_like new_full new_ones new_zeros ones ones_like scalar_tensor zeros zeros_like"

TENSOR_OPERATORS = frozenset(
    f"{_ARITHMETIC} {_COMPARISON} {_ACTIVATION} {_PRODUCT} {_NORMALISATION} {_POOLING} {_REDUCTION} {_SHAPE} {_MAKING}".split()
)

# On the sizes of tensors.
SIZE_OPERATORS = frozenset({"add", "sub", "mul", "floordiv", "mod", "neg"})

# What only checks that sizes are as they were when the program was exported.
CHECKS = frozenset({"_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size"})

# Where one of these arguments is true, the program was exported as it trains.
TRAINING_ARGUMENTS = {
    "batch_norm": "training",
    "dropout": "train",
    "feature_dropout": "train",
    "instance_norm": "use_input_stats",
}
