"""Bridges of a cluster, reached through kubectl: so the cluster's own rights decide who may."""
