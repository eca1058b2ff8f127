"""This package has a real Kubernetes control plane, a double of Argo, and scripted trainings."""
