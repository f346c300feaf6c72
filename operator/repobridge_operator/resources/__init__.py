"""Pure builders: a bridge and settings in, the plain manifests of its objects out."""
