"""Independent implementations of Proto-GCN and its pipelines that the product is compared with."""
