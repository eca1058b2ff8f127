"""The fused operations that the blocks of the fused network are made of.

norm.py                 batch norm after a 1x1 convolution, with residual and ReLU
batch_norm_function.py  its arithmetic and gradients
statistics.py           mean and variance of a batch whose last row counts several times
pointwise.py            1x1 convolutions as matrix products
refinement.py           the topology, recomputed in the backward pass and never kept
mean_joint.py           the mean over the joints as one more column
time_max.py             max pooling over time
recompute.py            what the backward pass recomputes
out_variant.py          results written into a given tensor
all_reduce.py           sums over the processes of a distributed training
"""
