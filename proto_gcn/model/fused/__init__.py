"""The blocks of Proto-GCN with fused operations: the same parameters and results, in less time.

Every class here is a subclass of the plain one in proto_gcn/model/: it inherits the parameters and
computes the forward pass otherwise. `engine.fused` in the config chooses; the tests hold both
equal.

head.py, backbone.py, gcn.py, tcn.py, prototype.py, loss.py   the blocks
absent_persons.py   one row computed for all absent persons
compiled.py         torch.compile for the blocks
operations/         what the blocks are made of
"""
