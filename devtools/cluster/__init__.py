"""A real Kubernetes control plane on loopback, a test double of Argo's controller, and scripted
trainings.
"""
