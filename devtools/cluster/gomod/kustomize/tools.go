//go:build tools

// Package tools names what the cluster tests build.
package tools

import _ "sigs.k8s.io/kustomize/kustomize/v5"
