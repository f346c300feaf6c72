"""`make crds`: the CustomResourceDefinition, written from the models of the API."""
